"""Convert all videos of a source into a data folder, in parallel, resuming where an earlier run stopped."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from uscl.clips.dicom_header import is_dicom
from uscl.clips.ignored_file import TEXT
from uscl.clips.source_findings import SourceFindings
from uscl.clips.video_source import VideoSource
from uscl.convert.output_folder import output_folder
from uscl.convert.privacy.hidden_names import hide_names
from uscl.convert.privacy.patients import named_after
from uscl.core.errors import ClipError, SourceError
from uscl.core.natural_order import natural_key
from uscl.core.parallel import Run, open_workers
from uscl.core.tables import write_csv
from uscl.core.worker_pool import run_isolated
from uscl.data.annotations import read_annotations, write_annotations
from uscl.data.frame_shards import STORE, FrameShards
from uscl.data.frame_store import stored_damage
from uscl.data.png_frames import store_name
from uscl.data.store_writer import StoreWriter

from .conversion_report import print_findings, print_masks, print_report, print_store
from .frame_decoding import MASKED, DecodedVideo, decode_video, is_current
from .outcome import Outcome
from .store_settings import StoreSettings

T = TypeVar('T')
OVERVIEW = 'overview.html'  # report of all clips, written by the callback
IMAGES = 'frames'  # OUT/frames/NAME/000000.png …, with --keep-images
_CRASHED = (
    'its reader crashed or was killed for lack of memory: run again with fewer --workers, or re-encode or leave it out'
)


def convert_sources(
    found: SourceFindings,
    out: str | Path,
    settings: StoreSettings,
    classes: Sequence[str] | None = None,
    workers: int | None = None,
    keep_images: bool = False,
    remove_others: bool = False,
    dry_run: bool = False,
    overview: Callable[[Sequence[Outcome]], None] | None = None,
    cluster: str | None = None,
    **chosen: Any,
) -> int:
    """Convert videos into ``store/``, write ``annotations.json`` and ``skipped.csv``, and print a report.

    Videos that an earlier run stored and that are no longer among the sources are removed, and so are bytes of earlier
    versions; but not if no video can be read, as when a disk is missing. With a mask of static pixels, also write
    ``masked/``: a picture for every video, and ``blanked.csv``.

    Args:
        found: The videos, and findings to report with them.
        out: The data folder; created if needed.
        settings: How frames are stored.
        classes: Class names in order; None takes the sorted labels of the videos.
        workers: Number of processes; None is one per core.
        keep_images: Also write the frames of newly converted videos as PNG files, to look at.
        remove_others: Remove videos that are not among the sources even if no video can be read.
        dry_run: Look at the first frame of every video, report, and store nothing.
        overview: Called at the end with the outcomes of all videos, if at least one was read.
        cluster: Decode on Dask workers, see :class:`uscl.core.cluster.Cluster`.
        **chosen: Further options of the conversion, plain values, for ``metainfo.settings`` of the annotation.

    Returns:
        Exit code of the tool: 0 if at least one video was read, else 1 (and no annotation file is written).

    Raises:
        SourceError: ``out`` cannot be written, or holds data of an older version; options exclude each other.
        FolderInUseError: Another process writes to it.
    """
    if cluster is not None and (dry_run or workers is not None):
        raise SourceError(f'{"--dry-run" if dry_run else "--workers"} does not use --cluster: remove one of the two.')
    out, sources, workers = Path(out), found.sources, workers or os.cpu_count() or 1
    refuse_older(out)
    if classes is None:
        classes = sorted({source.label for source in sources if source.label is not None})
    if dry_run:
        outcomes = look_at(sources, settings, workers)
        print_report(outcomes, classes, None)
        print_findings(found, outcomes)
        return _finish(outcomes, overview)
    with output_folder(out):
        with open_store(out, (source.video_id for source in sources)) as store:
            with open_workers(workers, cluster, out, {source.path.parent for source in sources}) as run:
                outcomes = convert_videos(sources, store, settings, run, keep_images)
            _name_after_converted(outcomes)
            entries = [_entry(outcome) for outcome in outcomes if outcome.reason is None]
            ids = {entry['video_id'] for entry in entries}
            store.commit()
            if entries:
                write_annotations(out / 'annotations.json', entries, classes, settings=asdict(settings) | chosen)
            index = store.prune(ids) if entries or remove_others else store.index
        skipped = [(outcome.source.video_id, outcome.reason) for outcome in outcomes if outcome.reason is not None]
        skipped += [(file.path, file.reason) for file in found.ignored if file.kind != TEXT]
        write_csv(out / 'skipped.csv', ('video_id', 'reason'), skipped)
        shares = {o.source.video_id: o.facts['blanked_share'] for o in outcomes if 'blanked_share' in o.facts}
        if entries or remove_others:
            _remove_others(out, ids, shares)
        write_csv(out / MASKED / 'blanked.csv', ('video_id', 'blanked_share'), list(shares.items()))
        print_report(outcomes, classes, out)
        print_findings(found, outcomes)
        if shares:
            print_masks(shares, out)
        if entries:
            print_store(index, out)
        return _finish(outcomes, overview)


def open_store(out: Path, names: Iterable[str]) -> StoreWriter:
    """Open the store of a data folder for writing.

    Raises:
        SourceError: It is damaged.
    """
    try:
        return StoreWriter(out, names)
    except ValueError as error:
        raise SourceError(f'{error} Or delete {out / STORE} to convert everything again.', exit_code=1) from error


def refuse_older(out: Path) -> None:
    """Refuse a folder whose annotation this version cannot read, so that versions are not mixed.

    Raises:
        SourceError: The annotation is of another version or damaged.
    """
    try:
        read_annotations(out / 'annotations.json')
    except FileNotFoundError:
        return
    except ValueError as error:
        raise SourceError(f'{error} Nothing was written: give another --out, or delete {out}.') from error


def convert_videos(
    sources: Sequence[VideoSource], store: StoreWriter, settings: StoreSettings, run: Run, keep_images: bool = False
) -> list[Outcome]:
    """Convert the videos that are not complete yet, with a progress bar on stderr; outcomes in natural order.

    Stored videos are compared with their checksums, and converted again if they are damaged. Videos are stored in
    natural order, too, whoever decodes them and however fast.
    """
    out, shards = store.data_root, FrameShards(store.data_root)
    ordered = sorted(sources, key=lambda source: natural_key(source.video_id))
    outcomes = [Outcome(source, reason=source.problem) for source in ordered]
    tasks = []
    for outcome in outcomes:
        if outcome.reason is None:
            source, name = outcome.source, store_name(outcome.source.video_id)
            stored = store.index.videos.get(source.video_id)
            if (
                stored is not None
                and is_current(source.path, stored, settings)
                and not stored_damage(shards, source.video_id, stored)
            ):
                outcome.num_frames, outcome.facts = stored.num_frames, stored.facts
            else:
                picture, images = out / MASKED / f'{name}.png', out / IMAGES / name if keep_images else None
                tasks.append((outcome, (source, store.folder, settings, picture, images)))

    def keep(number: int, result: tuple) -> None:
        outcome, decoded = tasks[number][0], result[0]
        outcome.reason = result[1]
        if decoded is not None:
            video, raw = decoded
            stored = store.add_file(outcome.source.video_id, raw, video.shapes, video.facts)
            outcome.num_frames, outcome.facts, outcome.is_new = stored.num_frames, video.facts, True
            raw.unlink(missing_ok=True)

    decoded: dict[int, tuple] = {}
    turn = 0
    try:
        for number, result in _run(run, _convert, [task for _, task in tasks], 'converting'):
            decoded[number] = result
            while turn in decoded:
                keep(turn, decoded.pop(turn))
                turn += 1
    finally:
        for number in sorted(decoded):  # an interrupted run keeps those whose turn it was not yet
            keep(number, decoded[number])
    return outcomes


def look_at(sources: Sequence[VideoSource], settings: StoreSettings, workers: int) -> list[Outcome]:
    """Decode the first frame of every video, with a progress bar on stderr; outcomes in the order of the sources."""
    outcomes = [Outcome(source, reason=source.problem) for source in sources]
    fine = [outcome for outcome in outcomes if outcome.reason is None]
    run, tasks = partial(run_isolated, workers=workers), [(outcome.source, settings) for outcome in fine]
    for number, (frame, reason) in _run(run, _first_frame, tasks, 'looking'):
        fine[number].first_frame, fine[number].reason = frame, reason
    return outcomes


def _run(run: Run, function: Callable[[Any], Any], tasks: Sequence[Any], title: str) -> Iterator[tuple[int, Any]]:
    """Run tasks, with a progress bar on stderr; a task that crashes has a reason, but no result."""
    results = run(function, tasks)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    # No refresh thread: worker processes are forked while the bar is shown.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        for number, result in progress.track(results, len(tasks), description=title):
            yield number, result or (None, _CRASHED)


def _finish(outcomes: Sequence[Outcome], overview: Callable[[Sequence[Outcome]], None] | None) -> int:
    if all(outcome.reason is not None for outcome in outcomes):
        return 1
    if overview is not None:
        overview(outcomes)
    return 0


def _name_after_converted(outcomes: Sequence[Outcome]) -> None:
    """Name patients after a clip that was converted if the one that they are named after was skipped, in place."""
    skipped = {named_after(outcome.source.video_id) for outcome in outcomes if outcome.reason is not None}
    renamed: dict[str, str] = {}
    for outcome in outcomes:
        source = outcome.source
        if outcome.reason is None and source.patient_id in skipped:
            name = renamed.setdefault(source.patient_id, named_after(source.video_id))
            outcome.source = replace(source, patient_id=name)


def _entry(outcome: Outcome) -> dict[str, Any]:
    """The annotation of a video."""
    source, facts = outcome.source, outcome.facts
    return {
        'video_id': source.video_id,
        'patient_id': source.patient_id,
        'label': source.label,
        'split': source.split,
        'num_frames': outcome.num_frames,
        'source': None if source.is_name_hidden else source.video_id,
        'sha256': facts['source']['sha256'],
        'signature': facts['signature'],
        'fps': facts.get('short_clip_fps', facts['settings']['fps']),
        'assumed': facts.get('assumed', []),
        'turned': facts.get('turned'),
        'rescaled': facts.get('rescaled', []),
    }


def _remove_others(out: Path, kept: Iterable[str], masked: Iterable[str]) -> None:
    """Remove the pictures of all other videos, and, if none is kept, annotation and store."""
    kept, masked = ({store_name(video_id) for video_id in ids} for ids in (kept, masked))
    for picture in (out / MASKED).glob('*.png'):
        if picture.stem not in masked:
            picture.unlink()
    for folder in (out / IMAGES).glob('*'):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
    if not kept:
        for name in ('annotations.json', OVERVIEW):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / STORE, ignore_errors=True)


def _convert(task: tuple) -> tuple[tuple[DecodedVideo, Path] | None, str | None]:
    """The decoded video with the file of its pixels, and None; or None and the reason. Runs in a worker process."""
    source, folder, settings, picture, images = task
    # Another one each time: a worker that was given up may still be writing.
    raw = folder / f'.{store_name(source.video_id)}.{secrets.token_hex(4)}.tmp'

    def decode() -> tuple[DecodedVideo, Path]:
        try:
            return decode_video(source.path, raw, settings, picture, images), raw
        except BaseException:
            raw.unlink(missing_ok=True)
            raise

    return _or_reason(source, decode)


def _first_frame(task: tuple) -> tuple[np.ndarray | None, str | None]:
    """The frame and None, or None and the reason; runs in a worker process."""
    source, settings = task
    return _or_reason(source, lambda: next(iter(settings.open(source.path, every_frame=True))))


def _or_reason(source: VideoSource, read: Callable[[], T]) -> tuple[T | None, str | None]:
    try:
        return read(), None
    except ClipError as error:
        return None, hide_names(error.reason, source.path) if source.is_name_hidden else error.reason
    except OSError:  # from the output disk: readers raise ClipError
        raise
    except Exception as error:  # one odd video must not stop the others
        detail = '' if source.is_name_hidden or is_dicom(source.path) else f': {error}'  # may quote anything
        return None, f'could not be converted ({type(error).__name__}{detail})'
