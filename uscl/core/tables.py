"""Tables as text: Markdown for people, CSV for programs."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .atomic_files import write_text
from .escaping import for_markdown


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table as Markdown; cells are escaped."""
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join('| ' + ' | '.join(for_markdown(cell) for cell in line) + ' |' for line in lines)


def write_csv(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a CSV table atomically. Without rows no file is written, and an old one is removed.

    Raises:
        OSError: The file cannot be written.
    """
    if not rows:
        Path(path).unlink(missing_ok=True)
        return
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows([header, *rows])
    write_text(path, text.getvalue())
