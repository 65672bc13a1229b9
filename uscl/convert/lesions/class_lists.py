"""Which images of a folder are benign and which malignant, from the lists that come with them."""

import csv
import re
from collections import defaultdict
from pathlib import Path

from uscl.core.errors import SourceError

NAME_COLUMNS = ('image', 'image_name', 'name', 'file', 'filename', 'path', 'id')
CLASS_COLUMNS = ('type', 'class', 'label')
_CLASS_OF = {'benign': 'benign', 'b': 'benign', 'malignant': 'malignant', 'm': 'malignant'}


def name_key(name: str) -> str:
    """What an image is looked up by: its name without folder, suffix and leading zeros.

    >>> name_key('original/000001.png') == name_key('1') == name_key('1.0')
    True
    """
    stem = re.split(r'[\\/]', name.strip())[-1].rsplit('.', 1)[0]
    return stem.lstrip('0') or '0' if re.fullmatch('[0-9]+', stem) else stem


def read_class_lists(root: Path) -> dict[str, str]:
    """Read every list that lies directly in a folder.

    A ``.txt`` or ``.csv`` file with ``benign`` or ``malignant`` in its name (any case) lists the images of that class,
    one a line, with or without suffix and leading zeros; only the first column counts, and a first line that names no
    image does no harm. Any other ``.csv`` file with a column of :data:`NAME_COLUMNS` and one of :data:`CLASS_COLUMNS`
    is a table of all images, such as DatasetB.xlsx saved as CSV. Commas, semicolons and tabs separate columns.

    Returns:
        'benign' or 'malignant' by :func:`name_key`; empty if there is no list.

    Raises:
        SourceError: An image is in both classes, or a list is no text table.
    """
    classes: dict[str, set[str]] = defaultdict(set)
    for path in sorted(root.iterdir()):
        if path.suffix.lower() not in ('.txt', '.csv') or path.name.startswith('.') or not path.is_file():
            continue
        for name, class_name in _read_list(path):
            classes[name_key(name)].add(class_name)
    both = sorted(name for name, found in classes.items() if len(found) > 1)
    if both:
        raise SourceError(f'{root}: image {both[0]} is listed as benign and as malignant: keep one of the two.')
    return {name: found.pop() for name, found in classes.items()}


def _read_list(path: Path) -> list[tuple[str, str]]:
    text = path.read_text(encoding='utf-8-sig', errors='replace')  # names are ASCII, remarks may be anything
    header = text.partition('\n')[0]
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=max(',;\t', key=header.count)) if row]
    except csv.Error as error:
        raise SourceError(
            f'{path} is not a CSV file ({error}): save it as CSV, or take it out of the folder.'
        ) from error
    in_name = [name for name in ('benign', 'malignant') if name in path.stem.lower()]
    if len(in_name) == 1:
        return [(row[0], in_name[0]) for row in rows if row[0].strip()]
    columns = [cell.strip().lower() for cell in rows[0]] if rows else []
    name_at = next((columns.index(column) for column in NAME_COLUMNS if column in columns), None)
    class_at = next((columns.index(column) for column in CLASS_COLUMNS if column in columns), None)
    if path.suffix.lower() != '.csv' or name_at is None or class_at is None:
        return []
    filled = [row for row in rows[1:] if len(row) > max(name_at, class_at)]
    pairs = [(row[name_at], _CLASS_OF.get(row[class_at].strip().lower())) for row in filled]
    return [(name, class_name) for name, class_name in pairs if name.strip() and class_name is not None]
