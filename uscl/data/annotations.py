"""The annotation file of a folder of video clusters: OpenMMLab 2.0 layout with one entry per VIDEO.

.. code-block:: none

    {"metainfo": {"dataset_type": "VideoClusters", "format_version": 2, "classes": ["covid", "regular"],
                  "settings": {"fps": 3.0, "min_frames": 8, "size": 256}, …},    # of the conversion
     "data_list": [{"video_id": "covid/a.mp4",     # unique; the clip's path in the source, with '/'
                    "patient_id": "p1",            # or null: unknown
                    "label": "covid",              # a class name, or null: unlabelled
                    "split": "train",              # or null: none given
                    "num_frames": 22,              # in the frame store, see frame_store.py
                    "source": "covid/a.mp4",       # relative to the source folder; null: hidden
                    "sha256": "9f86…",             # of the source file
                    "signature": "f4AB…",          # of the decoded content, see signatures.py
                    "fps": 3.0,                    # kept frames per second, more in short clips; null: all
                    "times": null,                 # or the time of every frame in seconds
                    "assumed": ["frame rate"],     # facts that the source does not state
                    "turned": "rotated 90°",       # clockwise, to stand upright; null: not turned
                    "rescaled": ["pixel aspect 8:9"]},    # changes of size or values
                   …]}

Unknown values are null. If it is unknown which frames share a video or patient, ``metainfo`` says so (``"grouping":
"unknown"``) and may hold the folds that came with the data: ``"folds": [{"train": [video ids], "test": [video ids]},
…]``.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uscl.core.atomic_files import write_text
from uscl.core.escaping import is_printable

DATASET_TYPE = 'VideoClusters'
FORMAT_VERSION = 2
_TEXTS = ('patient_id', 'label', 'split', 'source', 'sha256', 'signature')  # or null
_FACTS = ('fps', 'times', 'assumed', 'turned', 'rescaled')  # or null


def write_annotations(path: str | Path, data_list: Sequence[dict], classes: Sequence[str], **metainfo: Any) -> None:
    """Write an annotation file atomically: readers see the old file or the new one, never half of it.

    Args:
        path: The file to write, usually ``DIR/annotations.json``.
        data_list: One dict per video, see the module's documentation; missing nullable keys become null.
        classes: Class names; a label's index in this list is its class index, unless a config says otherwise.
        **metainfo: Further plain values to store, such as the sampling rate.

    Raises:
        ValueError: An entry is invalid.
    """
    path = Path(path)
    entries = [{key: entry.get(key) for key in ('video_id', 'num_frames', *_TEXTS, *_FACTS)} for entry in data_list]
    kind = {'dataset_type': DATASET_TYPE, 'format_version': FORMAT_VERSION, 'classes': list(classes)}
    annotations = {'metainfo': kind | metainfo, 'data_list': entries}
    check_annotations(annotations, path)
    write_text(path, json.dumps(annotations, indent=1, ensure_ascii=False) + '\n')


def read_annotations(path: str | Path) -> dict:
    """Read and check an annotation file.

    Args:
        path: The file.

    Returns:
        ``{'metainfo': dict, 'data_list': list of dict}`` as written by :func:`write_annotations`. Nullable keys missing
        from entries written by other programs are None.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not JSON, is another kind of annotation or another version, or breaks the format.
    """
    path = Path(path)
    if not path.is_file():
        remedy = (
            f'convert your clips with `uscl convert clips SRC --out {path.parent}`, or set data_root to another folder'
        )
        raise FileNotFoundError(f'{path} does not exist: {remedy} (in a config file if its path has spaces).')
    try:
        annotations = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:  # a few thousand nested brackets cause the latter
        raise ValueError(f'{path} is not valid JSON ({error}): run the converter again.') from error
    check_annotations(annotations, path)
    for entry in annotations['data_list']:
        for key in (*_TEXTS, *_FACTS):
            entry.setdefault(key)
    return annotations


def frame_rate(entry: Mapping[str, Any]) -> float | None:
    """Stored frames per second of a video: its ``fps``, otherwise the mean rate of its ``times``; None if unknown."""
    times = entry['times'] or [0.0]
    span = times[-1] - times[0]
    return entry['fps'] or ((len(times) - 1) / span if span > 0 else None)


def check_annotations(annotations: Any, path: str | Path) -> None:
    """Validate the content of an annotation file.

    Args:
        annotations: The parsed content.
        path: Path of the file, for messages.

    Raises:
        ValueError: The content is invalid; the message names ``path``, the fault and the remedy.
    """
    metainfo = annotations.get('metainfo') if isinstance(annotations, dict) else None
    if not isinstance(metainfo, dict) or metainfo.get('dataset_type') != DATASET_TYPE:
        what = f'is not an annotation of video clusters (metainfo.dataset_type should be "{DATASET_TYPE}")'
        raise ValueError(f'{path} {what}: create one with `uscl convert clips`.')
    version = metainfo.get('format_version')
    if version != FORMAT_VERSION:
        what = f'has format version {version}, but this version of uscl_plugin reads version {FORMAT_VERSION}'
        raise ValueError(f'{path} {what}: convert again into a new folder, or install the version that wrote it.')
    classes = metainfo.get('classes')
    if not isinstance(classes, list) or not all(isinstance(name, str) and is_printable(name) for name in classes):
        raise ValueError(f'{path}: metainfo.classes should be a list of class names, got {classes!r}.')
    data_list = annotations.get('data_list')
    if not isinstance(data_list, list):
        raise ValueError(f'{path}: data_list should be a list, one entry per video, got {type(data_list).__name__}.')
    seen: set[str] = set()
    known = set(classes)
    for position, entry in enumerate(data_list):
        _check_entry(entry, f'{path}: data_list[{position}]', known)
        if entry['video_id'] in seen:
            raise ValueError(f'{path}: video_id {entry["video_id"]!r} occurs twice; ids must be unique.')
        seen.add(entry['video_id'])


def _check_entry(entry: Any, where: str, classes: set[str]) -> None:
    if not isinstance(entry, dict) or not isinstance(entry.get('video_id'), str) or not entry['video_id']:
        raise ValueError(f'{where} should be a dict with a video_id, got {entry!r}.')
    where = f'{where} (video {entry["video_id"]!r})'
    for key in _TEXTS:
        if not isinstance(entry.get(key), str | None):
            raise ValueError(f'{where}: {key} should be a string or null, got {entry[key]!r}.')
    label = entry.get('label')
    if label is not None and label not in classes:
        raise ValueError(f'{where}: label {label!r} is not in metainfo.classes {sorted(classes)}.')
    num_frames = entry.get('num_frames')
    if type(num_frames) is not int or num_frames < 1:
        raise ValueError(f'{where}: num_frames should be a number of at least 1, got {num_frames!r}.')
    texts = [entry['video_id'], *(entry[key] for key in _TEXTS if entry.get(key))]
    if not is_printable(''.join(texts)):
        text = next(text for text in texts if not is_printable(text))
        raise ValueError(f'{where}: {text!r} contains a control character or a lone surrogate: correct it.')
