"""Write a data folder from arrays."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uscl.clips.frame_preparation import to_grey

from .annotations import write_annotations
from .fingerprints import thumbnail
from .signatures import sign_clip
from .store_writer import StoreWriter


def write_data_folder(root: str | Path, videos: Iterable[Mapping[str, Any]], **metainfo: Any) -> Path:
    """Write the annotation and the frame store for videos held in memory.

    Args:
        root: The folder, created if needed. Other videos already stored in it are removed.
        videos: Dicts with ``video_id``, ``frames`` (arrays (H, W) grey or (H, W, 3) red, green, blue; uint8) and any
            further annotation keys of the video (``label``, ``patient_id``, ``split``, …); ``signature`` is
            computed.
        **metainfo: Plain values for the annotation; ``classes`` defaults to the sorted labels.

    Returns:
        The folder.
    """
    videos = list(videos)
    ids = [video['video_id'] for video in videos]
    labels = sorted({video['label'] for video in videos if video.get('label') is not None})
    entries = []
    with StoreWriter(root, ids) as store:
        for video in videos:
            stored = store.add(video['video_id'], _as_bgr(video['frames']), {'sha256': video.get('sha256')})
            thumbnails = [thumbnail(frame if frame.ndim == 2 else to_grey(frame)) for frame in video['frames']]
            entries.append({**video, 'num_frames': stored.num_frames, 'signature': sign_clip(thumbnails)})
        store.commit()
        write_annotations(Path(root, 'annotations.json'), entries, metainfo.pop('classes', labels), **metainfo)
        store.prune(ids)
    return Path(root)


def _as_bgr(frames: Sequence[np.ndarray]) -> Iterable[np.ndarray]:
    return (frame if frame.ndim == 2 else frame[..., ::-1] for frame in frames)
