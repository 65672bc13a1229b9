"""The index of a source: a CSV file with one row per video."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from uscl.core.errors import SourceError
from uscl.core.escaping import is_printable
from uscl.core.loose_names import means_unknown
from uscl.core.plurals import counted
from uscl.core.relative_path import is_inside
from uscl.core.tables import read_csv

REQUIRED_COLUMNS = ('path', 'label', 'patient_id')
_COLUMNS = (*REQUIRED_COLUMNS, 'split')
_LONGEST_PATH = 2000  # bytes, well below what a system may refuse to look up
_LONGEST_NAME = 255  # bytes, of one file or folder


def find_index(folder: Path) -> Path | None:
    """The ``index.csv`` (in any case) directly in a folder, if there is one.

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
    with '/' or '\\'. Empty cells, and those that say 'nan', 'None' or 'n/a', are None: unlabelled, unknown, not given.
    Case and spaces in the column names do not matter; other columns are ignored.

    Args:
        index: The CSV file, see :func:`uscl.core.tables.read_csv`.
        root: The source folder.
        classes: Allowed labels; None allows any.

    Returns:
        Dicts with ``path``, ``label``, ``patient_id`` and ``split``, in the order of the file, and warnings.

    Raises:
        SourceError: No such file, not a CSV file, a column that is missing or duplicated, a path that is empty,
            outside the source or listed twice, more cells than columns, or a label that is not in ``classes``; the
            message names the row as numbered in a spreadsheet.
    """
    index = Path(index)
    if not index.is_file():
        raise SourceError(f'index {index} does not exist: give a CSV file with the columns path,label,patient_id.')
    (_, header), *rows = read_csv(index) or [(0, [])]
    columns = ['_'.join(name.casefold().split()) for name in header]
    if missing := [name for name in REQUIRED_COLUMNS if name not in columns]:
        raise SourceError(
            f'{index} lacks {", ".join(missing)} among its columns {", ".join(header) or "(none)"}: start it with '
            f'{",".join(REQUIRED_COLUMNS)}.'
        )
    if twice := [name for name in _COLUMNS if columns.count(name) > 1]:
        raise SourceError(f'{index} has two columns {twice[0]}: keep one.')
    checked: list[dict] = []
    first_row_of: dict[str, int] = {}
    unknown: list[int] = []
    for number, cells in rows:
        where = f'{index} row {number}'
        if any(cells[len(columns) :]):
            raise SourceError(
                f'{where} has {len(cells)} cells for {len(columns)} columns: quote values that hold a separator.'
            )
        row = dict(zip(columns, cells, strict=False))
        entry = {key: row.get(key) or None for key in _COLUMNS}
        entry['path'] = path = _relative_path(row.get('path', ''), Path(root), where)
        if path in first_row_of:
            raise SourceError(f'{where}: {path!r} is already in row {first_row_of[path]}: keep one of them.')
        first_row_of[path] = number
        for key in _COLUMNS[1:]:
            if not is_printable(entry[key] or ''):
                raise SourceError(f'{where}: {key} {entry[key]!r} holds control characters: correct the row.')
            if (text := entry[key]) is not None and means_unknown(text) and text not in (classes or ()):
                entry[key] = None
                unknown.append(number)
        if classes is not None and entry['label'] is not None and entry['label'] not in classes:
            what = f'label {entry["label"]!r} is not one of --classes {" ".join(classes)}'
            raise SourceError(f'{where}: {what}: correct the row, or add the class.')
        checked.append(entry)
    note = f"{index}: 'nan', 'None' and the like count as unknown, in {counted(len(unknown), 'cell')}"
    return checked, [f'{note}, first in row {unknown[0]}.'] if unknown else []


def _relative_path(text: str, root: Path, where: str) -> str:
    path = text.replace('\\', '/')
    for base in (root.absolute(), root.resolve()):
        path = path.removeprefix(unicodedata.normalize('NFC', f'{base.as_posix()}/'))
    longest = max(len(part.encode()) for part in path.split('/'))
    if not is_inside(path) or len(path.encode()) > _LONGEST_PATH or longest > _LONGEST_NAME:
        raise SourceError(f'{where}: path {text[:80]!r} should be a path inside the source folder.')
    return PurePosixPath(path).as_posix()
