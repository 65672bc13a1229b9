"""All frames of the videos in a config's training data, or in other data."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from uscl.data.frame_loading import load_frame
from uscl.data.frame_range import split_frames

from .pipeline_settings import unwrapped
from .video_clusters import VideoClusterDataset


@dataclass(frozen=True)
class FrameSet:
    """All frames of some videos: N frames of V videos.

    Attributes:
        dataset: Dataset that contains the whole videos.
        video: (N,) int64 in [0, V), ascending, video of each frame.
        position: (N,) int64, index of each frame in its video, in time order.
        query: (N,) bool, true for the last quarter of each video; see :func:`~uscl.data.frame_range.split_frames`.
        video_ids: V video ids.
        classes: V class names as in the annotation; None if unlabelled.
        patients: V patient ids; None if unknown.
    """

    dataset: VideoClusterDataset
    video: np.ndarray
    position: np.ndarray
    query: np.ndarray
    video_ids: list[str]
    classes: list[str | None]
    patients: list[str | None]

    def __len__(self) -> int:
        return len(self.video)

    def thinned(self, frames_per_video: int | None) -> 'FrameSet':
        """At most this many frames of each video, evenly spaced and including its last; None keeps all."""
        if frames_per_video is None:
            return self
        counts = np.bincount(self.video, minlength=len(self.video_ids))
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        kept = np.concatenate(
            [
                start + np.unique(np.linspace(count - 1, 0, min(frames_per_video, count)).round().astype(np.int64))
                for start, count in zip(first, counts, strict=True)
            ]
        )
        return replace(self, video=self.video[kept], position=self.position[kept], query=self.query[kept])

    def read(self, color: str = 'color', which: Iterable[int] | None = None) -> Iterator[np.ndarray]:
        """Read frames one by one as the training pipeline does: (H, W, 3) uint8, BGR.

        Args:
            color: See :func:`~uscl.data.frame_loading.load_frame`.
            which: Indices in [0, N); None for all.
        """
        for k in range(len(self)) if which is None else which:
            info = self.dataset.get_data_info(int(self.video[k]))
            frames = self.dataset.frames(info)
            yield load_frame(frames[self.position[k]], color, info['video_id'])


def dataset_config(cfg: Config, data_root: str | None = None, split: str | None = None, **changes: Any) -> dict:
    """The config of the training dataset, pointed to other data.

    Args:
        cfg: A pretraining config whose training dataset is a ``VideoClusterDataset``, which may be wrapped.
        data_root: Folder to use instead; None keeps the config's.
        split: Split to use instead, ``'all'`` for every video; None keeps the config's.
        **changes: Further settings to replace; a new ``pipeline`` removes the config's ``steps``, which modify the old
            one.

    Returns:
        A copy, with every video once. Other data or another split are used in full, regardless of ``data_fraction``.

    Raises:
        ValueError: The config trains on another type of dataset, or on several folders.
    """
    given = cfg.train_dataloader.dataset
    if data_root is None and given.get('datasets'):
        raise ValueError('train_dataloader.dataset has several folders: pass one of them, --data-root.')
    dataset = copy.deepcopy(dict(unwrapped(given)))
    if dataset.get('type') != 'VideoClusterDataset':
        raise ValueError(f'train_dataloader.dataset should be a VideoClusterDataset, got {dataset.get("type")!r}.')
    dataset.pop('samples_per_video', None)
    if 'pipeline' in changes:
        dataset.pop('steps', None)
    if data_root is not None or split is not None:
        dataset.update(data_fraction=1.0, keep_unlabelled=True)
    if data_root is not None and Path(data_root).resolve() != Path(dataset['data_root']).resolve():
        # Labels of other data may not be in the config's label map.
        dataset.update(data_root=data_root, label_map=None, classes=None, filter_cfg=None)
    if split is not None:
        dataset.update(split=None if split == 'all' else split)
    return dataset | changes


def collect_frames(cfg: Config, data_root: str | None = None, split: str | None = None) -> FrameSet:
    """List all frames of the videos in a config's training data, or in other data.

    Args:
        cfg: A pretraining config whose training dataset is an unwrapped ``VideoClusterDataset``.
        data_root: Folder to use instead; None keeps the config's.
        split: Split to use instead, ``'all'`` for every video; None keeps the config's.

    Returns:
        Whole videos, even if the config trains on a part of each (``frame_range``).
    """
    changes: dict[str, Any] = {'frame_range': (0.0, 1.0), 'label_fraction': 1.0, 'label_map': None, 'classes': None}
    dataset = DATASETS.build(dataset_config(cfg, data_root, split, pipeline=[], **changes))
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    counts = [info['num_frames'] for info in infos]
    names = dataset.metainfo['classes']
    return FrameSet(
        dataset,
        video=np.repeat(np.arange(len(infos)), counts),
        position=np.concatenate([np.arange(count) for count in counts]),
        query=np.concatenate([np.arange(count) >= split_frames(count)[1].start for count in counts]),
        video_ids=[info['video_id'] for info in infos],
        classes=[names[info['gt_label']] if info['gt_label'] >= 0 else None for info in infos],
        patients=[info['patient_id'] for info in infos],
    )
