"""Convert all videos of a source into a dataset folder, in parallel, going on where an earlier run stopped."""

import csv
import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from uscl.clips.dicom_header import is_dicom
from uscl.clips.discovery import VideoSource
from uscl.convert.output_folder import output_folder
from uscl.convert.privacy.hidden_names import hide_names
from uscl.core.errors import ClipError, SourceError
from uscl.core.natural_order import natural_key
from uscl.core.worker_pool import run_isolated
from uscl.data.annotations import write_annotations
from uscl.data.frame_packing import discard_store, pack_frames
from uscl.data.frame_store import STORE, StoreIndex
from uscl.data.png_frames import store_name
from uscl.data.video_manifest import MANIFEST

from .conversion_report import print_masks, print_report, print_store
from .outcome import Outcome
from .video_store import MASKED, StoreSettings, blanked_share, find_complete, remove_leftovers, store_video

FRAMES = 'frames'
_CRASHED = 'its reader crashed (the process died): re-encode the clip, or leave it out'


def convert_sources(
    sources: Sequence[VideoSource],
    out: str | Path,
    settings: StoreSettings,
    classes: Sequence[str] | None = None,
    workers: int | None = None,
    remove_others: bool = False,
    **metainfo: Any,
) -> int:
    """Convert videos, write ``annotations.json``, ``skipped.csv`` and the frame store, and print a report.

    With a mask of static pixels, also ``masked/``: a picture for every video, and ``blanked.csv``.

    Args:
        sources: The videos.
        out: The dataset folder; made if needed.
        settings: How frames are stored.
        classes: Class names in order; None takes the sorted labels of ``sources``.
        workers: Number of processes; None is one for every core.
        remove_others: Remove what earlier runs have left of other videos, or of these under other names: frames,
            pictures, and the annotation and store if no video is left.
        **metainfo: Further plain values for the annotation file.

    Returns:
        Exit code for a tool: 0 if at least one video was read, else 1 (no annotation file is written then).

    Raises:
        SourceError: ``out`` cannot be written.
        FolderInUseError: Another process writes to it.
    """
    out = Path(out)
    with output_folder(out):
        (out / FRAMES).mkdir(parents=True, exist_ok=True)
        remove_leftovers(out / FRAMES)
        outcomes = convert_videos(sources, out, settings, workers or os.cpu_count() or 1)
        if classes is None:
            classes = sorted({source.label for source in sources if source.label is not None})
        entries = [
            {
                'video_id': outcome.source.video_id,
                'patient_id': outcome.source.patient_id,
                'label': outcome.source.label,
                'split': outcome.source.split,
                'frames': outcome.frames,
            }
            for outcome in outcomes
            if outcome.reason is None
        ]
        if entries:
            write_annotations(out / 'annotations.json', entries, classes, **metainfo)
        _write_skipped(out / 'skipped.csv', outcomes)
        if remove_others:
            _remove_others(out, {store_name(outcome.source.video_id) for outcome in outcomes if outcome.frames})
        masked = {outcome.source.video_id: outcome.blanked for outcome in outcomes if outcome.blanked is not None}
        _write_table(out / MASKED / 'blanked.csv', ('video_id', 'blanked_share'), list(masked.items()))
        print_report(outcomes, classes, out)
        if masked:
            print_masks(masked, out)
        if entries:
            print_store(pack_with_progress(out, entries, workers), out)
    return 0 if entries else 1


def convert_videos(sources: Sequence[VideoSource], out: Path, settings: StoreSettings, workers: int) -> list[Outcome]:
    """Convert the videos that are not complete yet, with a progress bar on stderr; outcomes in natural order."""
    ordered = sorted(sources, key=lambda source: natural_key(source.video_id))
    outcomes = [Outcome(source, reason=source.problem) for source in ordered]
    tasks = []
    for outcome in outcomes:
        if outcome.reason is None:
            folder = out / FRAMES / store_name(outcome.source.video_id)
            names = find_complete(outcome.source.path, folder, settings)
            if names is None:
                tasks.append((outcome, folder))
            else:
                outcome.frames = [f'{FRAMES}/{folder.name}/{name}' for name in names]
                outcome.blanked = blanked_share(folder)
    if tasks:
        discard_store(out)
    # No refresh thread: worker processes are forked while the bar is shown.
    with Progress(*_columns('converting'), console=Console(stderr=True), auto_refresh=False) as progress:
        bar = progress.add_task('', total=len(outcomes), completed=len(outcomes) - len(tasks))
        arguments = [(outcome.source, folder, settings) for outcome, folder in tasks]
        for number, result in run_isolated(_convert, arguments, min(workers, max(len(tasks), 1))):
            outcome, folder = tasks[number]
            names, outcome.reason = result or ([], _CRASHED)
            outcome.frames = [f'{FRAMES}/{folder.name}/{name}' for name in names]
            outcome.is_new = outcome.reason is None
            outcome.blanked = blanked_share(folder) if outcome.is_new else None
            progress.update(bar, advance=1, refresh=True)
    return outcomes


def pack_with_progress(out: Path, entries: Sequence[dict], workers: int | None = None) -> StoreIndex:
    """Bring the frame store of a dataset folder up to date, with a progress bar on stderr.

    Raises:
        SourceError: It cannot be written; the folder can be used without it.
    """
    with Progress(*_columns('packing'), console=Console(stderr=True)) as progress:
        bar = progress.add_task('', total=len(entries))
        try:
            index = pack_frames(out, entries, workers, advance=lambda: progress.advance(bar))
        except FileNotFoundError as error:  # an image file
            raise SourceError(f'{error}.', exit_code=1) from error
        except OSError as error:
            remedy = 'free some space there and run the same command again; until then ' if _is_full(error) else ''
            raise SourceError(
                f'the frame store of {out} cannot be written ({error}): {remedy}training reads the image files.',
                exit_code=1,
            ) from error
        progress.update(bar, completed=len(entries))  # also when it was up to date
    return index


def _remove_others(out: Path, kept: set[str]) -> None:
    """Remove the folders and pictures of all videos but these, and, without any, what is made of them."""
    folders = [manifest.parent for manifest in (out / FRAMES).glob(f'*/{MANIFEST}') if manifest.parent.name not in kept]
    for folder in folders:
        shutil.rmtree(folder)
    for picture in (out / MASKED).glob('*.png'):
        if picture.stem not in kept:
            picture.unlink()
    if not kept:
        (out / 'annotations.json').unlink(missing_ok=True)
        shutil.rmtree(out / STORE, ignore_errors=True)
    if folders:
        print(f'Removed {len(folders)} videos that an earlier run had written to {out}.')


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _columns(title: str) -> tuple[ProgressColumn, ...]:
    return TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()


def _convert(task: tuple[VideoSource, Path, StoreSettings]) -> tuple[list[str], str | None]:
    """Frame names and None, or no name and the reason; runs in a worker process."""
    source, folder, settings = task
    try:
        return store_video(source.video_id, source.path, folder, settings), None
    except ClipError as error:
        return [], hide_names(error.reason, source.path) if source.is_name_hidden else error.reason
    except OSError:  # the readers report their own; this is the disk that is written to
        raise
    except Exception as error:  # one odd video must not stop the others
        detail = '' if source.is_name_hidden or is_dicom(source.path) else f': {error}'  # it may quote anything
        return [], f'could not be converted ({type(error).__name__}{detail})'


def _write_skipped(path: Path, outcomes: Sequence[Outcome]) -> None:
    skipped = [(outcome.source.video_id, outcome.reason) for outcome in outcomes if outcome.reason is not None]
    _write_table(path, ('video_id', 'reason'), skipped)


def _write_table(path: Path, columns: tuple[str, ...], rows: Sequence[tuple]) -> None:
    """Write a CSV file; without rows there is none."""
    if not rows:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(exist_ok=True)
    with path.open('w', encoding='utf-8', newline='') as file:
        csv.writer(file, lineterminator='\n').writerows([columns, *rows])
