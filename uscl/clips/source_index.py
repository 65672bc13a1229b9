"""The index of a source: a CSV file with one row for every video."""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from uscl.core.errors import SourceError
from uscl.core.relative_path import is_inside

REQUIRED_COLUMNS = ('path', 'label', 'patient_id')
_LONGEST_PATH = 2000  # bytes, well below what a system may refuse to look up, as it does names of more than 255


def read_index(index: str | Path, classes: Sequence[str] | None = None) -> list[dict]:
    """Read and check an index: the columns ``path,label,patient_id`` and, if there is one, ``split``.

    ``path`` is relative to the source folder, with '/', and names a video, a DICOM file, an image or a folder of
    images. Empty cells are None: unlabelled, unknown, not given. Other columns are ignored.

    Args:
        index: The CSV file, UTF-8.
        classes: Allowed labels; None allows any.

    Returns:
        Dicts with ``path``, ``label``, ``patient_id`` and ``split``, in the order of the file.

    Raises:
        SourceError: No such file, not a CSV file in UTF-8, a missing column, a path that is empty, outside the source
            or listed twice, or a label that is not in ``classes``; names the row as a spreadsheet shows it.
    """
    index = Path(index)
    if not index.is_file():
        raise SourceError(f'index {index} does not exist: give a CSV file with the columns path,label,patient_id.')
    try:
        with index.open(encoding='utf-8-sig', newline='') as file:  # spreadsheets write a byte order mark
            reader = csv.DictReader(file)
            columns = [name or '' for name in reader.fieldnames or []]
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f'{index} is not a CSV file in UTF-8 ({error}): save it as "CSV UTF-8".') from error
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if missing:
        raise SourceError(
            f'{index} lacks the column {", ".join(missing)}; it has {", ".join(columns) or "none"}: the first line '
            f'should be path,label,patient_id (values may be empty), separated by commas.'
        )
    checked: list[dict] = []
    first_row_of: dict[str, int] = {}
    for number, row in rows:
        where = f'{index} row {number}'
        entry = {key: (row.get(key) or '').strip() or None for key in (*REQUIRED_COLUMNS, 'split')}
        path = (entry['path'] or '').replace('\\', '/')
        if (
            not is_inside(path)
            or len(path.encode()) > _LONGEST_PATH
            or max(len(part.encode()) for part in path.split('/')) > 255
        ):
            raise SourceError(f'{where}: path {path[:80]!r} should be a relative path inside the source folder.')
        entry['path'] = path = PurePosixPath(path).as_posix()
        if path in first_row_of:
            raise SourceError(f'{where}: {path!r} is listed in row {first_row_of[path]} already: keep one of them.')
        first_row_of[path] = number
        if classes is not None and entry['label'] is not None and entry['label'] not in classes:
            raise SourceError(
                f'{where}: label {entry["label"]!r} of {path} is not one of --classes {" ".join(classes)}: '
                f'correct the row or add the class.'
            )
        checked.append(entry)
    return checked
