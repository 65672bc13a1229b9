"""Tables: on the terminal, as Markdown and as CSV."""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .atomic_files import write_text
from .errors import SourceError
from .escaping import for_markdown, for_spreadsheet, for_terminal


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table as Markdown; cells are escaped."""
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join('| ' + ' | '.join(for_markdown(cell) for cell in line) + ' |' for line in lines)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str] = ()) -> None:
    """Print a table to stdout: the first column left-aligned, the others right-aligned, the total below a line."""
    from rich.console import Console  # here: it takes time to import
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table(header[0], *(Column(name, justify='right') for name in header[1:]))
    for row in rows:
        table.add_row(*(escape(for_terminal(cell)) for cell in row))
    if total:
        table.add_section()
        table.add_row(*total)
    Console(highlight=False, soft_wrap=True).print(table)


def write_csv(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a CSV table atomically. Without rows no file is written, and an old one is removed.

    No spreadsheet takes a text in it for a formula.

    Raises:
        OSError: The file cannot be written.
    """
    if not rows:
        Path(path).unlink(missing_ok=True)
        return
    text = io.StringIO()
    lines = [[_shown(cell) if isinstance(cell, str) else cell for cell in row] for row in (header, *rows)]
    csv.writer(text, lineterminator='\n').writerows(lines)
    write_text(path, text.getvalue())


def _shown(cell: str) -> str:
    return for_spreadsheet(for_terminal(cell))  # csv would not quote a carriage return


def read_csv(path: str | Path) -> list[tuple[int, list[str]]]:
    """Read the non-empty rows of a CSV table from a spreadsheet in any language.

    The text is UTF-8, UTF-16 with a byte order mark, or otherwise Windows-1252. The separator is the comma, semicolon
    or tab that is most frequent in the first row, or is given by a first line such as ``sep=;``.

    Args:
        path: The file.

    Returns:
        The last line of each row, and its cells, stripped and in Unicode's composed form (NFC).

    Raises:
        SourceError: The file is not text, or a quotation mark is misplaced; the message names the line.
        OSError: The file cannot be read.
    """
    text = _decode(Path(path))
    first = re.split('[\r\n]', text.lstrip('\r\n'), maxsplit=1)[0]
    named = re.match(r'sep=(.)\s*$', first, re.IGNORECASE)
    separator = named[1] if named else max(',;\t', key=first.count)
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=separator, strict=True)
    rows, start = [], 1
    try:
        for row in reader:
            cells = [unicodedata.normalize('NFC', cell).strip() for cell in row]
            if any(cells):
                rows.append((reader.line_num, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise SourceError(f'{path} row {start}: not a CSV row ({error}): check its quotation marks.') from error
    return rows[1:] if named else rows


def _decode(path: Path) -> str:
    content = path.read_bytes()
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ['utf-16'] if is_utf16 else ['utf-8-sig', 'cp1252']:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if '\0' not in text:
            return text
    raise SourceError(f'{path} is not a CSV file: open it in a spreadsheet and save it as CSV.')
