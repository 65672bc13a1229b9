"""The five folds of POCUS as the authors of USCL distribute them: pickled arrays of images instead of clips.

Each ``covid_data{1..5}.pkl`` holds (X_train, y_train, X_test, y_test): images (N, C, H, W) in 0..255 and labels. They
name neither clips nor patients, so every distinct image becomes a video of one frame.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from uscl.clips.discovery import find_root
from uscl.clips.frame_preparation import prepare_clip, to_grey
from uscl.clips.video_source import VideoSource
from uscl.convert.output_folder import output_folder
from uscl.convert.videos.conversion_report import print_report, print_store
from uscl.convert.videos.outcome import Outcome
from uscl.convert.videos.store_settings import StoreSettings
from uscl.convert.videos.video_conversion import refuse_older
from uscl.core.digest import digest
from uscl.core.errors import SourceError
from uscl.core.plurals import counted
from uscl.core.tables import print_table
from uscl.data.annotations import write_annotations
from uscl.data.fingerprints import thumbnail
from uscl.data.signatures import sign_clip
from uscl.data.store_writer import StoreWriter

from .array_pickle import load_arrays
from .pocus_clone import CLASSES  # 0 covid, 1 pneumonia, 2 regular, as in the released code (my_dataset.py)

NUM_FOLDS = 5
SIDES = ('train', 'test')
CONVERTER_VERSION = 3  # raise it when the same pickle gives other frames or facts


def list_fold_files(src: str | Path, out: str | Path | None = None) -> list[Path]:
    """The five files in a folder, in order; an empty list if it holds none of them.

    Raises:
        SourceError: The folder does not exist, is ``out``, or lacks some of the files, which are named.
    """
    root = find_root(src, out)
    files = [root / f'covid_data{number}.pkl' for number in range(1, NUM_FOLDS + 1)]
    missing = [file.name for file in files if not file.is_file()]
    if missing and len(missing) < NUM_FOLDS:
        raise SourceError(f'{src} lacks {", ".join(missing)}: put all five files there.')
    return [] if missing else files


def convert_folds(files: Sequence[Path], out: str | Path, settings: StoreSettings) -> int:
    """Store every distinct image once, write ``annotations.json`` with the folds, and print a report.

    Images are the same if their pixels (as in the pickle, truncated to integers) and labels are; the id is the place of
    the first occurrence, such as ``fold1/test/000012``. The annotation's metainfo gets ``grouping='unknown'`` and
    ``folds``: the video ids of 'train' and 'test' of every fold, in the authors' order and with their repetitions. One
    file at a time is held in memory.

    Args:
        files: One pickle per fold.
        out: The data folder; created if needed.
        settings: How frames are stored.

    Returns:
        0, the exit code of a tool.

    Raises:
        SourceError: A file is refused, damaged or not as described, or ``out`` cannot be written.
        FolderInUseError: Another process is writing to it.
    """
    out = Path(out)
    refuse_older(out)
    seen: dict[str, str] = {}  # video id by image
    records: list[dict] = []
    outcomes: list[Outcome] = []
    with output_folder(out):
        for number, file in enumerate(track(files, 'reading folds', console=Console(stderr=True)), 1):
            records.append(_store_fold(file, number, out, settings, seen, outcomes))
        entries = [_entry(outcome) for outcome in outcomes]
        folds = [{side: [seen[image] for image in record[side]] for side in SIDES} for record in records]
        chosen = {'fps': None, 'size': settings.size, 'color': settings.color}
        write_annotations(out / 'annotations.json', entries, CLASSES, settings=chosen, grouping='unknown', folds=folds)
        with StoreWriter(out, ()) as store:
            index = store.prune(seen.values())
        print_report(outcomes, CLASSES, out)
        _print_folds(records)
        print_store(index, out)
    return 0


def read_fold(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read and check a fold.

    Returns:
        Images (N, C, H, W), C is 1 or 3, numbers in 0..255, and labels (N,), 0..2, of 'train' and 'test'.

    Raises:
        SourceError: The file is not as described; names the file and the array.
    """
    content = load_arrays(file)
    if not isinstance(content, tuple | list) or len(content) != 4:
        raise SourceError(f'{file} should hold X_train, y_train, X_test and y_test: get the file again.', exit_code=1)
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
            what = f'y_{side} should be {counted(len(images), "label")} 0, 1 or 2, got {_describe(labels)}'
            raise SourceError(f'{file}: {what}; get the file again.', exit_code=1)
        fold[side] = (images, labels)
    return fold


def _find_problem(images: Any) -> str | None:
    if not isinstance(images, np.ndarray) or images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        what = _describe(images) if isinstance(images, np.ndarray) else type(images).__name__
        return f'should be an array (N, C, H, W) with 1 or 3 channels, got {what}'
    if images.dtype.kind not in 'iuf':
        return f'should hold integers or floats, got {images.dtype}'
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 255) or (images.dtype.kind == 'f' and high <= 1):  # NaN is refused, too
        return f'should hold values in 0..255, got {low:g} to {high:g}'
    return None


def _describe(array: np.ndarray) -> str:
    values = f' with {np.unique(array)[:5].tolist()} …' if array.ndim == 1 and array.size else ''
    return f'shape {array.shape}, {array.dtype}{values}'


def _store_fold(
    file: Path, number: int, out: Path, settings: StoreSettings, seen: dict[str, str], outcomes: list[Outcome]
) -> dict[str, list[str]]:
    """Store the images that no earlier fold has, and add them to ``seen`` and ``outcomes``.

    Returns:
        Every image as label:digest, in the order of the arrays, by side.
    """
    fold = read_fold(file)
    record: dict[str, list[str]] = {side: [] for side in SIDES}
    places = [f'fold{number}/{side}/{index:06d}' for side, (images, _) in fold.items() for index in range(len(images))]
    with StoreWriter(out, places) as store:
        for side, (images, labels) in fold.items():
            for index, (pixels, label) in enumerate(zip(images, labels, strict=True)):
                frame = _to_rgb(pixels)
                pixel_digest = digest(repr(frame.shape), frame.tobytes())
                image = f'{int(label)}:{pixel_digest}'
                record[side].append(image)
                if image in seen:
                    continue
                video_id = seen[image] = f'fold{number}/{side}/{index:06d}'
                facts = {
                    'converter_version': CONVERTER_VERSION,
                    'settings': {'size': settings.size, 'color': settings.color},
                    'source': {'sha256': pixel_digest},
                    'signature': None,
                }
                stored = store.index.videos.get(video_id)
                is_new = stored is None or stored.facts | {'signature': None} != facts
                if is_new:
                    (frame,) = prepare_clip([frame], settings.size, settings.color)
                    facts['signature'] = sign_clip([thumbnail(frame if frame.ndim == 2 else to_grey(frame))])
                    store.add(video_id, [frame if frame.ndim == 2 else frame[..., ::-1]], facts)
                source = VideoSource(video_id, file, CLASSES[int(label)])
                known = store.index.videos[video_id].facts
                outcomes.append(Outcome(source, 1, known, is_new=is_new))
        store.commit()
    return record


def _entry(outcome: Outcome) -> dict[str, Any]:
    known = {'sha256': outcome.facts['source']['sha256'], 'signature': outcome.facts['signature']}
    return {'video_id': outcome.source.video_id, 'label': outcome.source.label, 'num_frames': 1, **known}


def _to_rgb(pixels: np.ndarray) -> np.ndarray:
    """(C, H, W) to (H, W, 3); fractions are truncated as in the released code (my_dataset.py)."""
    frame = pixels.astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))


def count_leaked(record: dict) -> int:
    """Number of test images in a fold whose pixels are also among its training images, with any label.

    Args:
        record: ``'label:digest'`` of every image of ``'train'`` and ``'test'``.
    """
    pixels = {side: [image.partition(':')[2] for image in record[side]] for side in SIDES}
    train = set(pixels['train'])
    return sum(image in train for image in pixels['test'])


def _print_folds(records: Sequence[dict]) -> None:
    leaks = [count_leaked(record) for record in records]
    sizes = [(str(len(record['train'])), str(len(record['test']))) for record in records]
    rows = [
        (str(number), *size, str(leaked)) for number, (size, leaked) in enumerate(zip(sizes, leaks, strict=True), 1)
    ]
    print_table(('fold', 'train', 'test', 'test images also in train'), rows)
    if any(leaks):
        print('Identical pixels on both sides of a fold are a leak: results on it are too good.')
    images = {image for record in records for side in SIDES for image in record[side]}
    if repeated := len(images) - len({image.partition(':')[2] for image in images}):
        print(f'{counted(repeated, "image")} with more than one label.')
    print('Patients are unknown, so one may be on both sides of a fold.')
