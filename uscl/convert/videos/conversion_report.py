"""The report at the end of a conversion."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from uscl.clips.frame_sampling import ASSUMED_RATE
from uscl.clips.source_findings import SourceFindings
from uscl.core.escaping import for_terminal
from uscl.data.frame_store import STORE, StoreIndex
from uscl.data.patient_division import unknown_patients

from .frame_decoding import MASKED
from .outcome import Outcome

UNLABELLED = '(unlabelled)'
_NAMES = 3  # in a line
_MASK_ROWS = 50  # of the table of what was blanked; the file has all


def print_report(outcomes: Sequence[Outcome], classes: Sequence[str], out: Path | None) -> None:
    """Print to stdout: a table per class, each skipped video with its reason, and what was done.

    Args:
        outcomes: All videos.
        classes: Class names, in the order of the table.
        out: The dataset folder; None if nothing was written.
    """
    console = Console(highlight=False, soft_wrap=True)
    of_label: dict[str | None, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        of_label[outcome.source.label].append(outcome)
    table = Table()
    table.add_column('class')
    for name in ('clips', 'frames', 'patients', 'skipped'):
        table.add_column(name, justify='right')
    for label in [*classes, None]:
        members = of_label[label]
        if members or label is not None:
            table.add_row(UNLABELLED if label is None else escape(for_terminal(label)), *count_cells(members))
    table.add_section()
    table.add_row('total', *count_cells(outcomes))
    console.print(table)
    skipped = [outcome for outcome in outcomes if outcome.reason is not None]
    for outcome in skipped:
        console.print(for_terminal(f'skipped {outcome.source.video_id}: {outcome.reason}'), markup=False)
    if out is None:
        console.print(f'{len(outcomes) - len(skipped)} can be read, {len(skipped)} cannot. Nothing was converted.')
        return
    new = sum(outcome.is_new for outcome in outcomes)
    complete = len(outcomes) - len(skipped) - new
    for line in list_notes(outcomes):
        console.print(for_terminal(line), markup=False)
    console.print(f'{new} converted now, {complete} complete already, {len(skipped)} skipped.')
    where = 'Nothing could be read' if len(skipped) == len(outcomes) else f'Written to {out / "annotations.json"}'
    console.print(f'{where}.', markup=False)
    if (out / 'skipped.csv').exists():
        console.print(f'What was skipped or ignored is listed in {out / "skipped.csv"}.', markup=False)


def print_findings(found: SourceFindings, outcomes: Sequence[Outcome]) -> None:
    """Print to stdout what was ignored, and a line for everything that looks wrong."""
    console = Console(highlight=False, soft_wrap=True)
    if ignored := found.describe_ignored():
        console.print(for_terminal(f'{ignored}.'), markup=False)
    unknown = unknown_patients([outcome.source.patient_id for outcome in outcomes if outcome.reason is None])
    for warning in (*found.warnings, *unknown):
        console.print(for_terminal(f'warning: {warning}'), markup=False)


def list_notes(outcomes: Sequence[Outcome]) -> list[str]:
    """What the converter changed or assumed, a line each, with the first few clips that it concerns."""
    groups: dict[str, list[str]] = {}
    for outcome in outcomes:
        facts = outcome.facts
        notes = ['turned'] if 'turned' in facts else []
        for item in facts.get('rescaled', []):
            notes.append('with pixels that are not square' if item.startswith('pixel aspect') else 'rescaled')
        for item in facts.get('assumed', []):
            notes.append(f'with {item} assumed' + f' ({ASSUMED_RATE:g})' * (item == 'frame rate'))
        if 'short_clip_fps' in facts:
            notes.append(f'too short for the rate, at least {facts["settings"]["min_frames"]} frames taken')
        for note in dict.fromkeys(notes):
            groups.setdefault(note, []).append(outcome.source.video_id)
    return [
        f'{len(names)} clip{"s" * (len(names) > 1)} {note}: {", ".join(names[:_NAMES])}'
        + f' and {len(names) - _NAMES} more' * (len(names) > _NAMES)
        for note, names in groups.items()
    ]


def print_store(index: StoreIndex, out: Path) -> None:
    """Print to stdout how much is in the frame store of a dataset folder."""
    console = Console(highlight=False, soft_wrap=True)
    size = f'{index.num_bytes / 1e6:.0f} MB' if index.num_bytes >= 1e6 else f'{index.num_bytes / 1e3:.0f} kB'
    console.print(f'Frame store of {len(index.videos)} clips ({size}) in {out / STORE}.', markup=False)


def print_masks(shares: Mapping[str, float], out: Path) -> None:
    """Print to stdout how much of each video was blanked because it never moves, the most first.

    Args:
        shares: Share of the picture by video id, 0 to 1.
        out: The dataset folder.
    """
    console = Console(highlight=False, soft_wrap=True)
    table = Table()
    table.add_column('video')
    table.add_column('blanked', justify='right')
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    for video_id, share in ordered[:_MASK_ROWS]:
        table.add_row(escape(for_terminal(video_id)), f'{100 * share:.1f} %')
    console.print(table)
    rest = f'{len(ordered) - _MASK_ROWS} more are in {out / MASKED / "blanked.csv"}. ' * (len(ordered) > _MASK_ROWS)
    console.print(
        f'{rest}Look at what was blanked (red) in {out / MASKED}, and delete it before the folder is handed on.',
        markup=False,
    )


def count_cells(outcomes: Sequence[Outcome]) -> tuple[str, str, str, str]:
    """Clips, frames ('-' if not counted), patients ('-' if none is known) and skipped videos of a row of the table."""
    read = [outcome for outcome in outcomes if outcome.reason is None]
    patients = {outcome.source.patient_id for outcome in read} - {None}
    frames = sum(outcome.num_frames for outcome in read)
    return (
        str(len(read)),
        str(frames if frames or not read else '-'),
        str(len(patients) or '-'),
        str(len(outcomes) - len(read)),
    )
