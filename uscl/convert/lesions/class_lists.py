"""Which images of a folder are benign or malignant, from the lists that come with them."""

import re
from collections import defaultdict
from pathlib import Path

from uscl.core.errors import SourceError
from uscl.core.tables import read_csv

NAME_COLUMNS = ('image', 'image_name', 'name', 'file', 'filename', 'path', 'id')
CLASS_COLUMNS = ('type', 'class', 'label')
_CLASS_OF = {'benign': 'benign', 'b': 'benign', 'malignant': 'malignant', 'm': 'malignant'}


def name_key(name: str) -> str:
    """The key of an image: its name without folder, suffix and leading zeros.

    >>> name_key('original/000001.png') == name_key('1') == name_key('1.0')
    True
    """
    stem = re.split(r'[\\/]', name.strip())[-1].rsplit('.', 1)[0]
    return stem.lstrip('0') or '0' if re.fullmatch('[0-9]+', stem) else stem


def read_class_lists(root: Path) -> dict[str, str]:
    """Read every list directly in a folder.

    A ``.txt`` or ``.csv`` file with ``benign`` or ``malignant`` in its name (any case) lists the images of that class,
    one per line, with or without suffix and leading zeros; only the first column counts, and a header does no harm. Any
    other ``.csv`` file with a column of :data:`NAME_COLUMNS` and one of :data:`CLASS_COLUMNS` is a table of all images,
    such as DatasetB.xlsx saved as CSV. Columns are separated by commas, semicolons or tabs.

    Returns:
        'benign' or 'malignant' by :func:`name_key`; empty if there is no list.

    Raises:
        SourceError: An image is in both classes, or a list is not a CSV file.
    """
    classes: dict[str, set[str]] = defaultdict(set)
    for path in sorted(root.iterdir()):
        if path.suffix.lower() not in ('.txt', '.csv') or path.name.startswith('.') or not path.is_file():
            continue
        for name, class_name in _read_list(path):
            classes[name_key(name)].add(class_name)
    both = sorted(name for name, found in classes.items() if len(found) > 1)
    if both:
        raise SourceError(f'{root}: image {both[0]} is listed as benign and malignant: keep one.')
    return {name: found.pop() for name, found in classes.items()}


def _read_list(path: Path) -> list[tuple[str, str]]:
    in_name = [name for name in ('benign', 'malignant') if name in path.stem.lower()]
    if len(in_name) != 1 and path.suffix.lower() != '.csv':
        return []
    rows = [cells for _, cells in read_csv(path)]
    if len(in_name) == 1:
        return [(row[0], in_name[0]) for row in rows if row[0]]
    columns = [cell.lower() for cell in rows[0]] if rows else []
    name_at = next((columns.index(column) for column in NAME_COLUMNS if column in columns), None)
    class_at = next((columns.index(column) for column in CLASS_COLUMNS if column in columns), None)
    if name_at is None or class_at is None:
        return []
    filled = [row for row in rows[1:] if len(row) > max(name_at, class_at)]
    pairs = [(row[name_at], _CLASS_OF.get(row[class_at].lower())) for row in filled]
    return [(name, class_name) for name, class_name in pairs if name and class_name is not None]
