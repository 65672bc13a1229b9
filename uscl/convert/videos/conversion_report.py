"""The report at the end of a conversion."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from uscl.clips.frame_sampling import ASSUMED_RATE
from uscl.clips.source_findings import SourceFindings
from uscl.core.escaping import for_terminal
from uscl.core.plurals import counted
from uscl.core.tables import print_table
from uscl.data.frame_store import STORE, StoreIndex
from uscl.data.patient_division import unknown_patients

from .frame_decoding import MASKED
from .outcome import Outcome

UNLABELLED = '(unlabelled)'
_NAMES = 3  # of clips in a line
_MASK_ROWS = 50  # of the table of blanked shares; the file has all


def print_report(outcomes: Sequence[Outcome], classes: Sequence[str], out: Path | None) -> None:
    """Print to stdout: a table by class, each skipped video with its reason, and what was done.

    Args:
        outcomes: All videos.
        classes: Class names, in the order of the table.
        out: The data folder; None if nothing was written.
    """
    of_label: dict[str | None, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        of_label[outcome.source.label].append(outcome)
    rows = [(label, *count_cells(of_label[label])) for label in classes]
    if of_label[None]:
        rows.append((UNLABELLED, *count_cells(of_label[None])))
    print_table(('class', 'clips', 'frames', 'patients', 'skipped'), rows, ('total', *count_cells(outcomes)))
    skipped = [outcome for outcome in outcomes if outcome.reason is not None]
    for outcome in skipped:
        _say(f'skipped {outcome.source.video_id}: {outcome.reason}')
    if out is None:
        _say(f'{len(outcomes) - len(skipped)} can be read, {len(skipped)} cannot. Nothing was converted.')
        return
    new = sum(outcome.is_new for outcome in outcomes)
    for line in list_notes(outcomes):
        _say(line)
    _say(f'{new} converted now, {len(outcomes) - len(skipped) - new} complete already, {len(skipped)} skipped.')
    nothing = len(skipped) == len(outcomes)
    _say('Nothing could be read.' if nothing else f'Written to {out / "annotations.json"}.')
    if (out / 'skipped.csv').exists():
        _say(f'Skipped and ignored files are listed in {out / "skipped.csv"}.')


def print_findings(found: SourceFindings, outcomes: Sequence[Outcome]) -> None:
    """Print to stdout what was ignored, and a line for everything that looks wrong."""
    if ignored := found.describe_ignored():
        _say(f'{ignored}.')
    unknown = unknown_patients([outcome.source.patient_id for outcome in outcomes if outcome.reason is None])
    for warning in (*found.warnings, *unknown):
        _say(f'warning: {warning}')


def list_notes(outcomes: Sequence[Outcome]) -> list[str]:
    """What the converter changed or assumed, one line each, with the first few clips."""
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
        f'{counted(len(names), "clip")} {note}: {", ".join(names[:_NAMES])}'
        + f' and {len(names) - _NAMES} more' * (len(names) > _NAMES)
        for note, names in groups.items()
    ]


def print_store(index: StoreIndex, out: Path) -> None:
    """Print to stdout how much is in the frame store of a data folder."""
    size = f'{index.num_bytes / 1e6:.0f} MB' if index.num_bytes >= 1e6 else f'{index.num_bytes / 1e3:.0f} kB'
    _say(f'Frame store of {counted(len(index.videos), "clip")} ({size}) in {out / STORE}.')


def print_masks(shares: Mapping[str, float], out: Path) -> None:
    """Print to stdout how much of each video was blanked because it never moves, in descending order.

    Args:
        shares: Share of the picture by video id, 0 to 1.
        out: The data folder.
    """
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    print_table(('video', 'blanked'), [(video_id, f'{100 * share:.1f} %') for video_id, share in ordered[:_MASK_ROWS]])
    if len(ordered) > _MASK_ROWS:
        _say(f'{len(ordered) - _MASK_ROWS} more are in {out / MASKED / "blanked.csv"}.')
    _say(f'Check what was blanked (red) in {out / MASKED}, and delete that folder before you share the data.')


def count_cells(outcomes: Sequence[Outcome]) -> tuple[str, str, str, str]:
    """A row of the table: clips, frames ('-' if not counted), patients ('-' if none is known), skipped videos."""
    read = [outcome for outcome in outcomes if outcome.reason is None]
    patients = {outcome.source.patient_id for outcome in read} - {None}
    frames = sum(outcome.num_frames for outcome in read)
    return (
        str(len(read)),
        str(frames if frames or not read else '-'),
        str(len(patients) or '-'),
        str(len(outcomes) - len(read)),
    )


def _say(line: str) -> None:
    print(for_terminal(line))
