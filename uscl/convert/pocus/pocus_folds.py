"""The five folds of POCUS as the authors of USCL distribute them: pickled arrays of images instead of clips.

``covid_data{1..5}.pkl`` each hold (X_train, y_train, X_test, y_test): images (N, C, H, W) of 0..255 and labels. They
name neither clips nor patients, so every distinct image becomes a video of one frame.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from uscl.clips.discovery import VideoSource, find_root
from uscl.clips.frame_preparation import is_grey, shrink, to_grey
from uscl.convert.output_folder import output_folder
from uscl.convert.videos.conversion_report import print_report, print_store
from uscl.convert.videos.outcome import Outcome
from uscl.convert.videos.video_conversion import FRAMES, pack_with_progress
from uscl.convert.videos.video_store import TEMPORARY_PREFIX, StoreSettings, remove_leftovers
from uscl.core.errors import SourceError
from uscl.data.annotations import write_annotations
from uscl.data.frame_packing import discard_store
from uscl.data.png_frames import frame_name, write_png

from .array_pickle import load_arrays
from .pocus_clone import CLASSES  # 0 covid, 1 pneumonia, 2 regular, as in the released code (my_dataset.py)

NUM_FOLDS = 5
SIDES = ('train', 'test')
CONVERTER_VERSION = 1  # raise when the same pickle gives other frames
MANIFEST, ANNOTATIONS = 'fold.json', 'annotations.json'


def list_fold_files(src: str | Path, out: str | Path | None = None) -> list[Path]:
    """The five files of a folder, in order; an empty list if it holds none of them.

    Raises:
        SourceError: No such folder, it is ``out``, or only some files are there; names those that are missing.
    """
    root = find_root(src, out)
    files = [root / f'covid_data{number}.pkl' for number in range(1, NUM_FOLDS + 1)]
    missing = [file.name for file in files if not file.is_file()]
    if missing and len(missing) < NUM_FOLDS:
        raise SourceError(f'{src} lacks {", ".join(missing)}: put all five files of the folds there.')
    return [] if missing else files


def convert_folds(files: Sequence[Path], out: str | Path, settings: StoreSettings) -> int:
    """Store every distinct image once, write ``annotations.json`` with the folds, and print a report.

    Images are the same if their pixels (as stored in the pickle, cut to integers) and labels are; the id tells where
    one occurs first, such as ``fold1/test/000012``. The annotation's metainfo gets ``grouping='unknown'`` and
    ``folds``: the video ids of 'train' and 'test' of every fold, in the authors' order and with their repetitions.
    One file is held in memory at a time, and those stored already are not read.

    Args:
        files: One pickle a fold.
        out: The dataset folder; made if needed.
        settings: How frames are stored.

    Returns:
        0, the exit code of a tool.

    Raises:
        SourceError: A file is refused, damaged or not as described, or ``out`` cannot be written.
        FolderInUseError: Another process writes to it.
    """
    frames = Path(out) / FRAMES
    seen: dict[str, str] = {}  # video id by image
    records: list[dict] = []
    outcomes: list[Outcome] = []
    with output_folder(out):
        frames.mkdir(parents=True, exist_ok=True)
        remove_leftovers(frames)
        bar_on_stderr = Console(stderr=True)
        for number, file in enumerate(track(files, 'reading folds', console=bar_on_stderr), 1):
            record = _find_complete(file, frames / f'fold{number}', settings, seen)
            is_new = record is None
            if record is None:
                discard_store(out)
                record = _store_fold(file, frames / f'fold{number}', settings, seen)
            new_images = _list_new(record, number, seen)
            for image, video_id in new_images.items():
                source = VideoSource(video_id, file, CLASSES[int(image[0])])
                outcomes.append(Outcome(source, [f'{FRAMES}/{video_id}.png'], is_new=is_new))
            seen |= new_images
            records.append(record)
        entries = [{'video_id': o.source.video_id, 'label': o.source.label, 'frames': o.frames} for o in outcomes]
        folds = [{side: [seen[image] for image in record[side]] for side in SIDES} for record in records]
        write_annotations(
            Path(out) / ANNOTATIONS,
            entries,
            CLASSES,
            fps=None,
            size=settings.size,
            grouping='unknown',
            folds=folds,
        )
        print_report(outcomes, CLASSES, Path(out))
        _print_folds(records)
        print_store(pack_with_progress(Path(out), entries), Path(out))
    return 0


def read_fold(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read and check a fold.

    Returns:
        Images (N, C, H, W), C is 1 or 3, numbers in 0..255, and labels (N,), 0..2, of 'train' and 'test'.

    Raises:
        SourceError: Names the file and the array that is wrong.
    """
    content = load_arrays(file)
    if not isinstance(content, tuple | list) or len(content) != 4:
        raise SourceError(f'{file} should hold X_train, y_train, X_test and y_test: is it the right file?', exit_code=1)
    fold = {}
    for side, images, labels in zip(SIDES, content[::2], content[1::2], strict=True):
        problem = _find_problem(images)
        if problem:
            raise SourceError(f'{file}: X_{side} {problem}; get the file again.', exit_code=1)
        try:
            labels = np.asarray(labels)
        except ValueError:  # lists of different lengths
            labels = np.zeros(0)
        if labels.shape != (len(images),) or labels.dtype.kind not in 'iuf' or not np.isin(labels, (0, 1, 2)).all():
            raise SourceError(
                f'{file}: y_{side} should be {len(images)} labels 0, 1 or 2, one for every image of X_{side}, '
                f'got {_describe(labels)}; get the file again.',
                exit_code=1,
            )
        fold[side] = (images, labels)
    return fold


def _find_problem(images: Any) -> str | None:
    if not isinstance(images, np.ndarray) or images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        what = _describe(images) if isinstance(images, np.ndarray) else type(images).__name__
        return f'should be an array (N, C, H, W) with 1 or 3 channels, got {what}'
    if images.dtype.kind not in 'iuf':
        return f'should hold integers or floats, got {images.dtype}'
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 255):  # NaN is refused, too
        return f'should hold values of 0..255, got {low:g} to {high:g}'
    if images.dtype.kind == 'f' and high <= 1:
        return 'should hold values of 0..255, got 0..1'
    return None


def _describe(array: np.ndarray) -> str:
    values = f' with {np.unique(array)[:5].tolist()} …' if array.ndim == 1 and array.size else ''
    return f'shape {array.shape}, {array.dtype}{values}'


def _store_fold(file: Path, folder: Path, settings: StoreSettings, seen: dict[str, str]) -> dict:
    """Write the images that no earlier fold has, and the manifest, in one step.

    A record names every image as label:digest, in the order of the arrays.
    """
    size = file.stat().st_size
    fold = read_fold(file)
    temporary = folder.with_name(TEMPORARY_PREFIX + folder.name)
    written = set(seen)
    record: dict = {side: [] for side in SIDES}
    for side, (images, labels) in fold.items():
        (temporary / side).mkdir(parents=True)
        for index, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            frame = _to_rgb(pixels)
            image = f'{int(label)}:{hashlib.sha256(repr(frame.shape).encode() + frame.tobytes()).hexdigest()}'
            record[side].append(image)
            if image not in written:
                written.add(image)
                as_grey = settings.color == 'gray' or (settings.color == 'auto' and is_grey(frame))
                frame = shrink(to_grey(frame) if as_grey else frame, settings.size)
                write_png(temporary / side / frame_name(index), frame)
    manifest = {**_settings_of(settings), 'bytes': size, **record}
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1) + '\n', encoding='utf-8')
    (folder.parents[1] / ANNOTATIONS).unlink(missing_ok=True)  # its ids may now mean other images
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return record


def _to_rgb(pixels: np.ndarray) -> np.ndarray:
    """(C, H, W) to (H, W, 3); fractions are cut off as the released code does (my_dataset.py)."""
    frame = pixels.astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))


def _find_complete(file: Path, folder: Path, settings: StoreSettings, seen: dict[str, str]) -> dict | None:
    """The record of a fold that is stored with these settings, newer than its file and with all frames, else None."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
        status = file.stat()
        number = int(folder.name.removeprefix('fold'))
        is_current = (
            {key: manifest[key] for key in _settings_of(settings)} == _settings_of(settings)
            and manifest['bytes'] == status.st_size
            and status.st_mtime_ns <= (folder / MANIFEST).stat().st_mtime_ns
            and all(
                (folder.parent / f'{name}.png').stat().st_size for name in _list_new(manifest, number, seen).values()
            )
        )
        return {side: manifest[side] for side in SIDES} if is_current else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _list_new(record: dict, number: int, seen: dict[str, str]) -> dict[str, str]:
    """Images of a fold that no earlier one has, with the id of their first place."""
    places: dict[str, str] = {}
    for side in SIDES:
        for index, image in enumerate(record[side]):
            if image not in seen:
                places.setdefault(image, f'fold{number}/{side}/{index:06d}')
    return places


def _settings_of(settings: StoreSettings) -> dict:
    return {'converter_version': CONVERTER_VERSION, 'size': settings.size, 'color': settings.color}


def count_leaked(record: dict) -> int:
    """Test images of a fold whose pixels are among its training images, whatever the labels.

    Args:
        record: ``'label:digest'`` of every image of ``'train'`` and ``'test'``.
    """
    pixels = {side: [image.partition(':')[2] for image in record[side]] for side in SIDES}
    return sum(digest in set(pixels['train']) for digest in pixels['test'])


def _print_folds(records: Sequence[dict]) -> None:
    table = Table('fold')
    for name in ('train', 'test', 'test images also in train'):
        table.add_column(name, justify='right')
    leaks = [count_leaked(record) for record in records]
    for number, (record, leaked) in enumerate(zip(records, leaks, strict=True), 1):
        table.add_row(str(number), *(str(len(record[side])) for side in SIDES), str(leaked))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    if any(leaks):
        console.print('Identical pixels on both sides of a fold are a leak: results on it come out too good.')
    images = {image for record in records for side in SIDES for image in record[side]}
    repeated = len(images) - len({image.partition(':')[2] for image in images})
    if repeated:
        console.print(f'{repeated} of the images occur with more than one label.')
    console.print('Patients are not known, so nothing tells whether one is on both sides of a fold.')
