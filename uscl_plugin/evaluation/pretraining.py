"""Evaluate the backbone of a pretraining config before and after training, on frames held out in time."""

import copy
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS, MODELS
from torch import nn

from uscl.stats.cohesion import Cohesion, measure_cohesion
from uscl_plugin.datasets.transforms import LoadVideoFrames
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.resnet_state import backbone_state

from .features import extract_features, split_frames

_SIZED = (
    *('DrawViews', 'AntialiasedRandomResizedCrop', 'AntialiasedResize'),
    *('RandomResizedCrop', 'ResizedCrop', 'Resize', 'CenterCrop', 'RandomCrop'),  # of a user's own pipeline
)


@dataclass(frozen=True)
class FrameSet:
    """All frames of some videos, N frames of V videos.

    Attributes:
        paths: N files, video by video, in time order.
        video: (N,) int64 in [0, V).
        query: (N,) bool, the last quarter of each video in time; see :func:`.features.split_frames`.
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


@dataclass(frozen=True)
class Evaluation:
    """One network on a :class:`FrameSet`.

    Attributes:
        features: (N, C) float32.
        cohesion: Of all frames, with retrieval of the held-out ones.
        held_out: Of the held-out frames among themselves, without retrieval; None if there are none.
    """

    features: np.ndarray
    cohesion: Cohesion
    held_out: Cohesion | None


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


def input_size(pipeline: Iterable[dict]) -> int:
    """Side in pixels of a view: that of the last resizing or cropping step of a pipeline, also inside wrappers.

    Raises:
        ValueError: No step states a size.
    """
    size = None
    for step in _flatten(pipeline):
        value = step.get('scale', step.get('crop_size'))
        if step.get('type') in _SIZED and value is not None:
            size = int(value if isinstance(value, int) else value[0])
    if size is None:
        raise ValueError(f'The pipeline states no size of the views: it has none of {_SIZED}.')
    return size


def input_settings(cfg: Config) -> dict[str, Any]:
    """Input size and normalisation of a pretraining config, as arguments of :func:`.features.extract_features`."""
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    return {
        'size': input_size(cfg.train_dataloader.dataset.pipeline),
        'mean': preprocessor.get('mean', [0.0] * 3),
        'std': preprocessor.get('std', [1.0] * 3),
        'to_rgb': preprocessor.get('to_rgb', False),
    }


def set_input_size(pipeline: Iterable[dict], size: int) -> None:
    """Set the side in pixels of every resizing or cropping step of a pipeline, also inside wrappers, in place."""
    for step in _flatten(pipeline):
        for key in ('scale', 'crop_size'):
            if step.get('type') in _SIZED and key in step:
                step[key] = size if isinstance(step[key], int) else (size, size)


def color_type(pipeline: Iterable[dict]) -> str:
    """How a pipeline loads frames, ``'color'`` (also where it leaves grey at one channel) or ``'grayscale'``."""
    loads = (step for step in _flatten(pipeline) if step.get('type') == 'LoadVideoFrames')
    return 'grayscale' if next(loads, {}).get('color_type') == 'grayscale' else 'color'


def _flatten(pipeline: Iterable) -> Iterator[dict]:
    for step in pipeline:
        if isinstance(step, dict):
            yield step
            yield from _flatten(step.get('transforms', ()))
        else:  # MultiView has a list of pipelines
            yield from _flatten(step)


def read_frames(paths: Iterable[str], color: str = 'color') -> Iterator[np.ndarray]:
    """Read frames one by one as the training pipeline does: (H, W, 3) uint8; blue, green, red."""
    load = LoadVideoFrames(color_type=color)
    for path in paths:
        yield load.transform({'frames': [path], 'frame_inds': [0], 'video_id': Path(path).parent.name})['imgs'][0]


def untrained_backbone(cfg: Config, seed: int = 0) -> nn.Module:
    """The backbone of a config with random weights; weights that the config starts from are not loaded.

    Args:
        cfg: A pretraining config.
        seed: Of the weights. The global generator is left as it was.
    """
    backbone = copy.deepcopy(dict(cfg.model.backbone))
    init = backbone.get('init_cfg') or []
    if any(step.get('type') == 'Pretrained' for step in ([init] if isinstance(init, dict) else init)):
        del backbone['init_cfg']
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MODELS.build(backbone)
        network.init_weights()
    return network


def trained_backbone(cfg: Config, checkpoint: str | Path) -> nn.Module:
    """The backbone of a config with the weights of a checkpoint.

    Args:
        cfg: The config that the checkpoint was trained with.
        checkpoint: A file of plain tensors; nothing in it is executed.

    Raises:
        CheckpointError: The file is not readable, or its backbone has other tensors than the config's.
    """
    network = untrained_backbone(cfg)
    try:
        network.load_state_dict(backbone_state(load_plain_checkpoint(checkpoint)), strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f'{checkpoint} does not fit the backbone of the config, pass the config it was trained with: {error}'
        ) from error
    return network


def evaluate_backbone(backbone: nn.Module, frames: Iterable[np.ndarray], found: FrameSet, cfg: Config) -> Evaluation:
    """Extract the features of frames and measure their cohesion.

    Args:
        backbone: The network, on the device to use.
        frames: The N frames of ``found``, see :func:`read_frames`.
        found: Their videos and which are held out.
        cfg: States input size and normalisation.

    Returns:
        Features and measures.
    """
    features = extract_features(backbone, frames, **input_settings(cfg))
    own = found.query
    return Evaluation(
        features=features,
        cohesion=measure_cohesion(features, found.video, own),
        held_out=measure_cohesion(features[own], found.video[own], own[own]) if own.any() else None,
    )
