"""The index of a source: a CSV file with one row for every video."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from uscl.core.errors import SourceError
from uscl.core.loose_names import means_unknown
from uscl.core.relative_path import is_inside
from uscl.core.tables import read_csv

REQUIRED_COLUMNS = ('path', 'label', 'patient_id')
_COLUMNS = (*REQUIRED_COLUMNS, 'split')
_LONGEST_PATH = 2000  # bytes, well below what a system may refuse to look up, as it does names of more than 255


def find_index(folder: Path) -> Path | None:
    """The ``index.csv`` directly in a folder, in any case, if there is one.

    Raises:
        SourceError: There are two.
    """
    found = sorted(path for path in folder.glob('[iI][nN][dD][eE][xX].[cC][sS][vV]') if path.is_file())
    if len(found) > 1:
        raise SourceError(f'{folder} holds {found[0].name} and {found[1].name}: keep one, or give one as --index.')
    return found[0] if found else None


def read_index(
    index: str | Path, root: str | Path, classes: Sequence[str] | None = None
) -> tuple[list[dict], list[str]]:
    r"""Read and check an index: the columns ``path,label,patient_id`` and, if there is one, ``split``.

    ``path`` names a video, a DICOM file, an image or a folder of images, relative to the source folder or absolute,
    with '/' or '\\'. Empty cells are None: unlabelled, unknown, not given; so are those that say 'nan', 'None' or
    'n/a'. Case and spaces of the column names do not count; other columns are ignored.

    Args:
        index: The CSV file, see :func:`uscl.core.tables.read_csv`.
        root: The source folder.
        classes: Allowed labels; None allows any.

    Returns:
        Dicts with ``path``, ``label``, ``patient_id`` and ``split``, in the order of the file, and warnings.

    Raises:
        SourceError: No such file, not a CSV file, a column that is missing or there twice, a path that is empty,
            outside the source or listed twice, more cells than columns, or a label that is not in ``classes``; names
            the row as a spreadsheet shows it.
    """
    index = Path(index)
    if not index.is_file():
        raise SourceError(f'index {index} does not exist: give a CSV file with the columns path,label,patient_id.')
    (_, header), *rows = read_csv(index) or [(0, [])]
    columns = ['_'.join(name.casefold().split()) for name in header]
    if missing := [name for name in REQUIRED_COLUMNS if name not in columns]:
        raise SourceError(
            f'{index} lacks the column {", ".join(missing)}; it has {", ".join(header) or "none"}: the first line '
            f'should be path,label,patient_id (values may be empty).'
        )
    if twice := [name for name in _COLUMNS if columns.count(name) > 1]:
        raise SourceError(f'{index} has the column {twice[0]} twice: keep one of them.')
    checked: list[dict] = []
    first_row_of: dict[str, int] = {}
    unknown: list[int] = []
    for number, cells in rows:
        where = f'{index} row {number}'
        if any(cells[len(columns) :]):
            raise SourceError(
                f'{where} has {len(cells)} cells for {len(columns)} columns: put a value that holds the separator in '
                f'quotation marks.'
            )
        row = dict(zip(columns, cells, strict=False))
        entry = {key: row.get(key) or None for key in _COLUMNS}
        entry['path'] = path = _relative_path(row.get('path', ''), Path(root), where)
        if path in first_row_of:
            raise SourceError(f'{where}: {path!r} is listed in row {first_row_of[path]} already: keep one of them.')
        first_row_of[path] = number
        for key in _COLUMNS[1:]:
            if (text := entry[key]) is not None and means_unknown(text) and text not in (classes or ()):
                entry[key] = None
                unknown.append(number)
        if classes is not None and entry['label'] is not None and entry['label'] not in classes:
            raise SourceError(
                f'{where}: label {entry["label"]!r} of {path} is not one of --classes {" ".join(classes)}: '
                f'correct the row or add the class.'
            )
        checked.append(entry)
    return checked, _describe_unknown(index, unknown)


def _relative_path(text: str, root: Path, where: str) -> str:
    path = text.replace('\\', '/')
    for base in (root.absolute(), root.resolve()):
        path = path.removeprefix(unicodedata.normalize('NFC', f'{base.as_posix()}/'))
    is_long = len(path.encode()) > _LONGEST_PATH or max(len(part.encode()) for part in path.split('/')) > 255
    if not is_inside(path) or is_long:
        raise SourceError(f'{where}: path {text[:80]!r} should be a path inside the source folder.')
    return PurePosixPath(path).as_posix()


def _describe_unknown(index: Path, rows: Sequence[int]) -> list[str]:
    if not rows:
        return []
    return [
        f"{index}: cells that say 'nan', 'None' or the like count as unknown: {len(rows)}, the first in row {rows[0]}."
    ]
