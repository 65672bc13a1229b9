"""All frames of the videos of a config's training data, or of other data."""

import copy
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from uscl.data.held_out_frames import split_frames

from .transforms import LoadVideoFrames


@dataclass(frozen=True)
class FrameSet:
    """All frames of some videos, N frames of V videos.

    Attributes:
        paths: N files, video by video, in time order.
        video: (N,) int64 in [0, V).
        query: (N,) bool, the last quarter of each video in time; see :func:`~uscl.data.held_out_frames.split_frames`.
        seen: (N,) bool, whether the file is one that the config trains on; None if its data are not there to compare.
        video_ids: V names.
        classes: V class names as in the annotation, None where unlabelled.
        num_train_videos: Videos that the config trains on, None if its data are not there.
    """

    paths: list[str]
    video: np.ndarray
    query: np.ndarray
    seen: np.ndarray | None
    video_ids: list[str]
    classes: list[str | None]
    num_train_videos: int | None


def dataset_config(cfg: Config, data_root: str | None = None, split: str | None = None, **changes: Any) -> dict:
    """The config of the training data, pointed at other data.

    Args:
        cfg: A pretraining config whose training data are a ``VideoClusterDataset``, not wrapped.
        data_root: Folder to use instead; None keeps it.
        split: Split to use instead, ``'all'`` for every video; None keeps it.
        **changes: Further settings to replace.

    Returns:
        A copy, with every video once. Other data or another split are used whole, whatever ``data_fraction`` says.

    Raises:
        ValueError: The config trains on another type of data.
    """
    dataset = copy.deepcopy(dict(cfg.train_dataloader.dataset))
    if dataset.get('type') != 'VideoClusterDataset':
        raise ValueError(f'train_dataloader.dataset should be a VideoClusterDataset, got {dataset.get("type")!r}.')
    dataset.pop('samples_per_video', None)
    if data_root is not None or split is not None:
        dataset.update(data_fraction=1.0, keep_unlabelled=True)
    if data_root is not None and Path(data_root).resolve() != Path(dataset['data_root']).resolve():
        # Labels of other data need not be those that the config maps.
        dataset.update(data_root=data_root, label_map=None, classes=None, filter_cfg=None)
    if split is not None:
        dataset.update(split=None if split == 'all' else split)
    return dataset | changes


def collect_frames(cfg: Config, data_root: str | None = None, split: str | None = None) -> FrameSet:
    """List all frames of the videos of a config's training data, or of other data.

    Args:
        cfg: See :func:`dataset_config`.
        data_root: Likewise.
        split: Likewise.

    Returns:
        Whole videos, also where the config trains on a part of each (``frame_range``).
    """
    changes: dict[str, Any] = {'frame_range': (0.0, 1.0), 'label_fraction': 1.0, 'label_map': None, 'classes': None}
    changes['frame_store'] = False  # the image files are read, and should be missed now rather than after some epochs
    dataset = DATASETS.build(dataset_config(cfg, data_root, split, pipeline=[], **changes))
    paths: list[str] = []
    video, query = [], []
    video_ids, classes = [], []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        gallery, queries = split_frames(len(info['frames']))
        paths += info['frames']
        video += [index] * len(info['frames'])
        query += [False] * len(gallery) + [True] * len(queries)
        video_ids.append(info['video_id'])
        classes.append(dataset.metainfo['classes'][info['gt_label']] if info['gt_label'] >= 0 else None)
    try:
        trained = DATASETS.build(dataset_config(cfg, pipeline=[]))
    except FileNotFoundError:
        seen, num_train_videos = None, None
    else:
        num_train_videos = len(trained)
        files = {os.path.realpath(path) for i in range(len(trained)) for path in trained.get_data_info(i)['frames']}
        seen = np.array([os.path.realpath(path) in files for path in paths])
    return FrameSet(paths, np.array(video), np.array(query), seen, video_ids, classes, num_train_videos)


def read_frames(paths: Iterable[str], color: str = 'color') -> Iterator[np.ndarray]:
    """Read frames one by one as the training pipeline does: (H, W, 3) uint8; blue, green, red."""
    load = LoadVideoFrames(color_type=color)
    for path in paths:
        yield load.transform({'frames': [path], 'frame_inds': [0], 'video_id': Path(path).parent.name})['imgs'][0]
