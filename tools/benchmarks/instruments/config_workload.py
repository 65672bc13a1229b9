"""Time the training defined by a pretraining config."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from mmpretrain.registry import MODELS
from torch import nn
from torch.utils.data import DataLoader

from uscl.data.annotations import read_annotations
from uscl_plugin.datasets.pipeline_settings import set_input_size

from .workload import CountedBatches, Workload


class AsPrepared(nn.Module):
    """Replaces a data preprocessor for batches that have already been through it."""

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return ``data`` unchanged."""
        return data


def benchmark_config(
    path: str | Path,
    data_root: str | Path,
    size: int,
    batch_size: int,
    workers: int | None = None,
    options: dict | None = None,
) -> Config:
    """Adapt a pretraining config to the benchmark data.

    All videos are used and keep their labels, regardless of the config's classes and splits.

    Args:
        path: Path of the config.
        data_root: Folder written by a converter.
        size: Side length of a view in pixels.
        batch_size: Videos per batch.
        workers: Number of loading processes; None keeps the config's.
        options: Changes to the config, applied last.

    Raises:
        ValueError: The config trains on another type of dataset.
    """
    cfg = Config.fromfile(path)
    loader: Any = cfg.get('train_dataloader') or {}
    dataset: Any = loader.get('dataset') or {}
    if dataset.get('type') != 'VideoClusterDataset':
        raise ValueError(f'{path} should train on an unwrapped VideoClusterDataset, got {dataset.get("type")!r}.')
    dataset.update(data_root=str(data_root), split=None, label_map=None, classes=None, filter_cfg=None)
    dataset.update(label_fraction=1.0, data_fraction=1.0)
    loader.batch_size = batch_size
    if workers is not None:
        loader.update(num_workers=workers, persistent_workers=workers > 0)
    set_input_size(dataset, size)
    if 'num_classes' in cfg.model.get('head', {}):
        classes = read_annotations(Path(data_root) / dataset.get('ann_file', 'annotations.json'))['metainfo']['classes']
        cfg.model.head.num_classes = max(1, len(classes))
    cfg.merge_from_dict(options or {})
    return cfg


class ConfigWorkload(Workload):
    """The loader, preprocessor, model and optimiser of a config, built as MMEngine's runner builds them.

    Hooks are left out. The loader's order is replaced by :class:`CountedBatches`; everything else is unchanged.

    Args:
        cfg: See :func:`benchmark_config`.
        name: Display name.
        device: Device of the network.
        seed: Seed of weights and draws.

    Attributes:
        view_size: Height and width in pixels of the network's input.
        makes_views: Whether the data preprocessor makes the views, instead of the loader.
    """

    def __init__(self, cfg: Config, name: str, device: torch.device, seed: int = 0) -> None:
        self.name, self.device, self._seed, self._epoch = name, device, seed, 0
        env = cfg.get('env_cfg') or {}
        set_multi_processing(**(env.get('mp_cfg') or {}))
        self._cudnn_benchmark = bool(env.get('cudnn_benchmark'))
        loader = cfg.train_dataloader.to_dict()
        self.batch_size, self.workers = loader['batch_size'], loader.get('num_workers', 0)
        self._loader = _build_loader(loader, seed)
        self._videos = cast(Any, self._loader.dataset)
        single = {'num_workers': 0, 'persistent_workers': False, 'prefetch_factor': None, 'timeout': 0}
        self._single = _build_loader({**loader, **single}, seed)
        torch.manual_seed(seed)
        model = MODELS.build(cfg.model)
        model.init_weights()
        self._model = model.to(device).train()
        if hasattr(model, 'start_training'):  # done by its hook in a real run
            model.start_training(len(self._videos), 1)
        self._optim = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper))
        self._preprocessor = model.data_preprocessor
        if compiling := cfg.get('compile'):
            model.train_step = torch.compile(model.train_step, **(compiling if isinstance(compiling, dict) else {}))
        batch = next(iter(self.batches(1, one_core=True)))
        self.makes_views = 'view_params' in batch
        inputs = self.prepare(batch)['inputs']
        views = inputs if isinstance(inputs, list | tuple) else [inputs]
        self.views, self.view_size = len(views), tuple(views[0].shape[-2:])

    def video_ids(self) -> list[str]:
        """The training videos."""
        return [self._videos.get_data_info(i)['video_id'] for i in range(len(self._videos))]

    def batches(self, count: int, one_core: bool = False) -> Iterable[Any]:
        """See :class:`Workload`; every pass is an epoch with new draws."""
        loader = self._single if one_core else self._loader
        loader.batch_sampler.count = count  # type: ignore[union-attr]
        self._epoch += 1
        dataset: Any = loader.dataset
        if hasattr(dataset, 'set_epoch'):  # not MMPretrain's own
            dataset.set_epoch(self._epoch, self._seed)
        return loader

    @torch.no_grad()
    def prepare(self, batch: Any) -> Any:
        """Run the data preprocessor."""
        return self._preprocessor(batch, True)

    def train(self, batches: Iterable[Any]) -> None:
        """Run the model's own ``train_step`` on every batch."""
        self._run(batches, self._preprocessor)

    def train_prepared(self, batches: Iterable[Any]) -> None:
        """Train on batches that have been through the data preprocessor."""
        self._run(batches, AsPrepared())

    def _run(self, batches: Iterable[Any], preprocessor: nn.Module) -> None:
        torch.backends.cudnn.benchmark = self._cudnn_benchmark
        self._model.data_preprocessor = preprocessor
        for batch in batches:
            for value in self._model.train_step(batch, self._optim).values():
                value.item()  # MMEngine's runner does this in every step, which waits for the device
        self._model.data_preprocessor = self._preprocessor


def _build_loader(loader: dict, seed: int) -> DataLoader:
    loader = {key: value for key, value in loader.items() if key not in ('drop_last', 'shuffle')}
    # The benchmark sets the order and number of batches; a sampler of the same length would have no effect.
    loader |= {'sampler': {'type': 'DefaultSampler', 'shuffle': False}, 'batch_sampler': {'type': CountedBatches}}
    return Runner.build_dataloader(loader, seed=seed)
