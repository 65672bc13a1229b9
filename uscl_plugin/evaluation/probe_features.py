"""Features of all labelled frames, extracted once and stored, and the probes on them."""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS
from rich.console import Console
from rich.progress import track

from uscl.core.atomic_files import write_atomically
from uscl.data.folds import Folds, group_of
from uscl.stats.predictions import Predictions
from uscl.stats.training_features import TrainingFeatures, summarise_training
from uscl_plugin.datasets.video_frames import VideoFrameDataset
from uscl_plugin.measures.features import extract_features
from uscl_plugin.weights.checkpoint_files import write_checkpoint
from uscl_plugin.weights.provenance import describe_run

from .backbones import PretrainedBackbone
from .cells import Cell, folder_of
from .finetuning import FoldOutcome
from .options import EvaluationOptions
from .probes import as_linear_layer, run_probe
from .training_features import add_training_features


class ProbeFeatures:
    """The features of one backbone on a dataset, in ``OUT/features/NAME_seedS.npz`` (``features``, ``paths``, …).

    Args:
        out: Output folder.
        method: Name of the backbone.
        seed: Seed of the evaluation.
        options: Options: data, size, protocol.
        identity: Text that identifies this backbone.
        data: Text that identifies these frames.
    """

    def __init__(self, out: Path, method: str, seed: int, options: EvaluationOptions, identity: str, data: str) -> None:
        name = folder_of(method) + (f'_seed{seed}' if identity.startswith('random') else '')
        self.path = out / 'features' / f'{name}.npz'
        self.options = options
        self.identity = f'{identity} on {data}'
        self._features: np.ndarray | None = None
        self._frames: Predictions

    def probe(self, backbone: PretrainedBackbone, folds: Folds, number: int, cfg: Config, cell: Cell) -> FoldOutcome:
        """Run the selected probe on one fold; a linear one is saved as a classifier, ``model.pth``."""
        if self._features is None:
            self._frames = list_frames(self.options)
            found = self._load()
            self._features = self._extract(backbone) if found is None else found
        side = folds.sides(number)
        frames = self._frames
        sides = np.array([side.get(str(name), '') for name in frames.videos])
        result = run_probe(self.options.protocol, self._features, frames, sides)
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
            write_checkpoint(cell.model, state, meta)
            add_training_features(cell.model, self._training(sides))
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

    def _extract(self, backbone: PretrainedBackbone) -> np.ndarray:
        device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        dataset = frame_dataset(self.options, pipeline=[dict(type='LoadFrame')], test_mode=True)
        title = f'Features of {backbone.name}'
        images = (dataset[k]['img'] for k in range(len(dataset)))
        frames = track(images, title, len(dataset), console=Console(stderr=True), transient=True)
        shared: dict[str, Any] = dict(mean=backbone.mean, std=backbone.std, to_rgb=backbone.to_rgb)
        features = extract_features(backbone.network.to(device), frames, self.options.size, **shared)
        backbone.network.cpu()
        if wrong := np.flatnonzero(~np.isfinite(features).all(axis=1)).tolist():
            raise ValueError(
                f'the features of {len(wrong)} frames are not finite, first {self._frames.paths[wrong[0]]}: the '
                f'checkpoint diverged, use an earlier one.'
            )
        arrays = {name: getattr(self._frames, name) for name in ('labels', 'videos', 'groups', 'paths')}

        def write(temporary: Path) -> None:
            with temporary.open('wb') as file:
                np.savez(file, features=features, fingerprint=np.array(self._fingerprint()), **arrays)

        write_atomically(self.path, write)
        return features

    def _load(self) -> np.ndarray | None:
        """The stored features, if they are those of this backbone and these frames, and whole."""
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                is_current = str(arrays['fingerprint']) == self._fingerprint()
                return (
                    arrays['features'] if is_current and np.array_equal(arrays['paths'], self._frames.paths) else None
                )
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # missing, truncated or changed
            return None

    def _fingerprint(self) -> str:
        given = {key: value for key, value in self.options.given_input().items() if value is not None}
        return f'{self.identity} at {self.options.size} px, {given}'


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
