"""Labels from a table of their own, such as a reader's spreadsheet, in which clips have names rather than paths."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from uscl.core.errors import SourceError
from uscl.core.escaping import is_printable
from uscl.core.loose_names import means_unknown
from uscl.core.plurals import counted
from uscl.core.tables import read_csv

from .source_findings import SourceFindings


def read_label_table(table: str | Path, label_column: str, name_column: str | None = None) -> dict[str, str | None]:
    """Read a column of labels. Case and spaces in column names do not matter, nor do spaces around a cell.

    Args:
        table: The CSV file, see :func:`uscl.core.tables.read_csv`.
        label_column: The column of the labels; a cell that is empty or means "unknown" is None.
        name_column: The column of the clips' names; None takes the first.

    Returns:
        Name → label, in the order of the file.

    Raises:
        SourceError: There is no such file or column, or a name comes twice with different labels; the message names the
            rows as numbered in a spreadsheet.
    """
    if not Path(table).is_file():
        raise SourceError(f'{table} does not exist: give a CSV file with a column of clip names and one of labels.')
    (_, header), *rows = read_csv(table) or [(0, [])]
    columns = [_plain(name) for name in header]

    def place(name: str | None) -> int:
        if name is None:
            return 0
        if columns.count(_plain(name)) != 1:
            found = ', '.join(header) or '(none)'
            raise SourceError(f'{table} has {columns.count(_plain(name))} columns {name!r}, but {found}: name one.')
        return columns.index(_plain(name))

    names, labels = place(name_column), place(label_column)
    found: dict[str, str | None] = {}
    row_of: dict[str, int] = {}
    for number, cells in rows:
        padded = [*cells, *[''] * (len(columns) - len(cells))]
        name, text = padded[names], padded[labels]
        label = None if not text or means_unknown(text) else text
        if not name:
            raise SourceError(f'{table} row {number}: the name of the clip is empty: complete or remove the row.')
        if not is_printable(text):
            raise SourceError(f'{table} row {number}: label {text!r} holds control characters: correct the row.')
        if name in found and found[name] != label:
            raise SourceError(
                f'{table} row {number}: {name!r} is {label!r} here and {found[name]!r} in row {row_of[name]}: keep one.'
            )
        found[name] = label
        row_of.setdefault(name, number)
    return found


def label_by_table(
    found: SourceFindings,
    labels: Mapping[str, str | None],
    table: str | Path,
    classes: Sequence[str] | None = None,
) -> SourceFindings:
    """Give clips the labels of a table, which names them by path, file name, or file name without its suffix.

    Args:
        found: The clips.
        labels: See :func:`read_label_table`.
        table: The file, for messages.
        classes: Allowed labels; None allows any.

    Returns:
        The clips with these labels alone, and a warning about clips and rows without a counterpart.

    Raises:
        SourceError: A name fits several clips, none of them is in the table, or a label is not in ``classes``.
    """
    if wrong := [label for label in labels.values() if classes is not None and label not in (None, *classes)]:
        raise SourceError(f'{table}: label {wrong[0]!r} is not one of --classes: correct the table, or add the class.')
    by_name: dict[str, set[str]] = defaultdict(set)
    for source in found.sources:
        path = PurePosixPath(source.video_id)
        for name in {source.video_id, path.name, path.stem}:
            by_name[name].add(source.video_id)
    label_of: dict[str, str | None] = {}
    lost = []
    for name, label in labels.items():
        clips = sorted(by_name.get(name.replace('\\', '/'), ()))
        if len(clips) > 1:
            raise SourceError(f'{table}: {name!r} fits {clips[0]} and {clips[1]}: write paths in the table.')
        if not clips:
            lost.append(name)
            continue
        if clips[0] in label_of and label_of[clips[0]] != label:
            raise SourceError(f'{table}: {clips[0]} has the labels {label_of[clips[0]]!r} and {label!r}: keep one.')
        label_of[clips[0]] = label
    if not label_of:
        known = next((source.video_id for source in found.sources), 'no clip')
        raise SourceError(f'{table} names none of the clips, such as {known}: choose the column of their names.')
    warnings = list(found.warnings)
    if bare := [source.video_id for source in found.sources if source.video_id not in label_of]:
        warnings.append(f'{table} has no row for {counted(len(bare), "clip")}, which get no label, first {bare[0]}.')
    if lost:
        warnings.append(f'{table}: {counted(len(lost), "row")} name no clip, first {lost[0]!r}.')
    sources = [replace(source, label=label_of.get(source.video_id)) for source in found.sources]
    return replace(found, sources=sources, warnings=warnings)


def _plain(name: str) -> str:
    return ' '.join(name.casefold().split())
