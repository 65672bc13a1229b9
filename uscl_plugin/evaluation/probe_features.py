"""Features of all labelled frames, extracted once and cached, and the probes on them."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS
from rich.console import Console
from rich.progress import track

from uscl.core.digest import digest
from uscl.data.array_cache import ArrayCache, cache_folder
from uscl.data.folds import Folds, group_of
from uscl.options.evaluation_options import EvaluationOptions
from uscl.stats.predictions import Predictions
from uscl.stats.training_features import TrainingFeatures, summarise_training
from uscl_plugin.datasets.video_frames import VideoFrameDataset
from uscl_plugin.measures.backbone_health import BackboneHealth, measure_frames, spread_evenly
from uscl_plugin.measures.features import extract_features
from uscl_plugin.weights.checkpoint_files import write_checkpoint
from uscl_plugin.weights.provenance import describe_run
from uscl_plugin.weights.tensor_digest import tensor_digest

from .backbones import PretrainedBackbone
from .cells import Cell
from .finetuning import FoldOutcome
from .machine import machine_facts
from .probes import as_linear_layer, run_probe
from .training_features import KEY, as_plain


class ProbeFeatures:
    """The features of one backbone on a dataset, in the user's cache, for evaluations with other folds or protocols.

    Args:
        backbone: The backbone.
        options: Options: data, size, protocol.
        data: Digest of the data folder.
    """

    def __init__(self, backbone: PretrainedBackbone, options: EvaluationOptions, data: str) -> None:
        self.backbone = backbone
        self.options = options
        folder = cache_folder()
        self._cache = ArrayCache(None if folder is None else folder / 'features')
        self._key = _key(backbone, options, data)
        self._features: np.ndarray | None = None
        self._frames: Predictions

    def health(self) -> BackboneHealth:
        """What the backbone uses, on frames from all over the data.

        Raises:
            ValueError: A frame cannot be read.
        """
        key = {**self._key, 'of': 'backbone'}
        if (stored := self._cache.get(key)) is not None:
            return BackboneHealth(**json.loads(str(stored['health'])))
        dataset = frame_dataset(self.options, pipeline=[dict(type='LoadFrame')], test_mode=True)
        frames = (dataset[k]['img'] for k in spread_evenly(len(dataset)))
        try:
            health = measure_frames(self._network(), frames, self.options.size, **self._input())
        finally:
            self.backbone.network.cpu()
        self._cache.put(key, {'health': np.array(json.dumps(asdict(health)))})
        return health

    def make(self) -> np.ndarray:
        """The features (N, C) of all frames, cached or new."""
        if self._features is None:
            self._frames = list_frames(self.options)
            self._features = self._find()
        return self._features

    def probe(self, folds: Folds, number: int, cfg: Config, cell: Cell) -> FoldOutcome:
        """Run the selected probe on one fold; a linear one is saved as a classifier, ``model.pth``."""
        features, backbone = self.make(), self.backbone
        side = folds.sides(number)
        frames = self._frames
        sides = np.array([side.get(str(name), '') for name in frames.videos])
        result = run_probe(self.options.protocol, features, frames, sides)
        if self.options.protocol == 'linear' and self.options.keep_models:
            weight, bias = as_linear_layer(result.classifier, frames.probabilities.shape[1])
            state = {f'backbone.{key}': value for key, value in backbone.network.state_dict().items()}
            state |= {
                'head.fc.weight': torch.from_numpy(weight).float(),
                'head.fc.bias': torch.from_numpy(bias).float(),
            }
            classes = list(cfg.train_dataloader.dataset.classes)
            cfg.model.backbone.pop('init_cfg')
            meta = {'cfg': cfg.pretty_text, 'dataset_meta': {'classes': classes}}
            start = {'uscl': {'seen': backbone.seen.as_plain()}}
            fitted = {'split': [part for part in ('train', 'val') if part in sides]}
            meta |= {'uscl': describe_run(cfg, DATASETS.build(cfg.train_dataloader.dataset | fitted), [start])}
            write_checkpoint(cell.model, state, meta, more={KEY: as_plain(self._training(sides))})
            cfg.dump(cell.folder / 'config.py')
        return FoldOutcome(result.predictions, dict(result.settings))

    def _training(self, sides: np.ndarray) -> TrainingFeatures:
        """The clips that the probe is fitted to, and those of the test part, or else of the inner validation part."""
        held_out_side = 'test' if (sides == 'test').any() else 'val'
        train, labels = self._clip_means(np.isin(sides, ('train', 'val')) & (sides != held_out_side))
        held_out, _ = self._clip_means(sides == held_out_side)
        return summarise_training(train, labels, held_out)

    def _clip_means(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean features (V, D) of the clips of some frames, and their labels."""
        assert self._features is not None
        _, first, clip = np.unique(self._frames.videos[wanted], return_index=True, return_inverse=True)
        total = np.zeros((len(first), self._features.shape[1]), np.float32)
        np.add.at(total, clip, self._features[wanted])
        return total / np.bincount(clip)[:, None], self._frames.labels[wanted][first]

    def _find(self) -> np.ndarray:
        """The features of all frames, cached or new."""
        key = {**self._key, 'of': 'features', 'frames': digest('\n'.join(self._frames.paths))}
        if (stored := self._cache.get(key)) is not None:
            return stored['features']
        features = self._extract()
        self._cache.put(key, {'features': features})
        return features

    def _extract(self) -> np.ndarray:
        dataset = frame_dataset(self.options, pipeline=[dict(type='LoadFrame')], test_mode=True)
        title = f'Features of {self.backbone.name}'
        images = (dataset[k]['img'] for k in range(len(dataset)))
        frames = track(images, title, len(dataset), console=Console(stderr=True), transient=True)
        features = extract_features(self._network(), frames, self.options.size, **self._input())
        self.backbone.network.cpu()
        if wrong := np.flatnonzero(~np.isfinite(features).all(axis=1)).tolist():
            raise ValueError(
                f'the features of {len(wrong)} frames are not finite, first {self._frames.paths[wrong[0]]}: the '
                f'checkpoint diverged, use an earlier one.'
            )
        return features

    def _network(self) -> torch.nn.Module:
        return self.backbone.network.to('cuda' if torch.cuda.is_available() else 'cpu')

    def _input(self) -> dict[str, Any]:
        return {key: getattr(self.backbone, key) for key in ('mean', 'std', 'to_rgb')}


def _key(backbone: PretrainedBackbone, options: EvaluationOptions, data: str) -> dict[str, Any]:
    """All that features depend on, to their last digit."""
    config = json.dumps(backbone.config, sort_keys=True, default=str)
    return {
        'network': tensor_digest(backbone.network.state_dict(), {'config': config}),
        'input': [backbone.mean, backbone.std, backbone.to_rgb, options.size],
        'data': data,
        'frames_per_video': options.frames_per_video,
        'instructions': torch.backends.cpu.get_cpu_capability(),
        **machine_facts(),
    }


def frame_dataset(options: EvaluationOptions, **settings: Any) -> VideoFrameDataset:
    """The labelled frames of the data that are evaluated."""
    config = dict(type=VideoFrameDataset, data_root=options.data, frames_per_video=options.frames_per_video)
    return DATASETS.build(config | settings)


def list_frames(options: EvaluationOptions) -> Predictions:
    """All labelled frames of the data, with uniform probabilities."""
    dataset = frame_dataset(options, pipeline=[])
    used = sorted({dataset.get_data_info(k)['gt_label'] for k in range(len(dataset))})
    rows = [dataset.get_data_info(k) for k in range(len(dataset))]
    return Predictions(
        np.full((len(rows), len(used)), 1 / len(used)),
        np.array([used.index(row['gt_label']) for row in rows]),
        np.array([row['video_id'] for row in rows]),
        np.array([group_of(row) for row in rows]),
        np.array([row['frame'] for row in rows]),
    )
