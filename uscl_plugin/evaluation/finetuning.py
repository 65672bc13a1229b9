"""Train a classifier on one fold with MMEngine, keeping its predictions at the selected epochs."""

import os
import shutil
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from uscl.options.evaluation_options import EvaluationOptions
from uscl.stats.predictions import Predictions
from uscl_plugin.datasets.pipeline_settings import set_input_size
from uscl_plugin.hooks.hook_settings import hook_settings, remove_hook
from uscl_plugin.weights.architectures import last_block

from .backbones import PretrainedBackbone
from .probes import selection_quality
from .training_features import add_training_features
from .training_measurement import measure_training

MODEL = 'model.pth'
LAST = 'last'
LAST_BLOCK = 'backbone.layer4.1'  # in configs, for a ResNet-18


@dataclass
class FoldOutcome:
    """The result of a fold.

    Attributes:
        predictions: Selection → predictions for the test frames.
        chosen: Selection → selected epoch, from 1.
        curve: One dict per epoch: ``epoch`` and the frame accuracies of ``val`` and ``test``.
    """

    predictions: dict[str, Predictions] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    curve: list[dict] = field(default_factory=list)


class SelectionHook(Hook):
    """Keeps the test predictions of three epochs: best on the test part, last, and best on ``val``.

    Epochs are compared by frame accuracy, then by cross-entropy, then by time (earliest first). The weights of the
    epoch selected on ``val`` (or of the last one if there is no ``val``) are saved as ``model.pth`` in the work folder.

    Args:
        outcome: Filled during the run.
    """

    priority = 'LOW'

    def __init__(self, outcome: FoldOutcome) -> None:
        self.outcome = outcome
        self._best: dict[str, tuple[float, float]] = {}

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Compare the epoch just evaluated; with several parts, the metric reports them by name."""
        by_side = runner.val_loop.evaluator.metrics[0].predictions
        test, outcome = by_side['test'], self.outcome
        quality = {side: selection_quality(found.probabilities, found.labels) for side, found in by_side.items()}
        outcome.curve.append({'epoch': runner.epoch} | {side: value[0] for side, value in quality.items()})
        outcome.predictions[LAST], outcome.chosen[LAST] = test, runner.epoch
        for selection, side in (('best-on-test', 'test'), ('inner-val', 'val')):
            if side in quality and quality[side] > self._best.get(side, (-1.0, 0.0)):
                self._best[side] = quality[side]
                outcome.predictions[selection], outcome.chosen[selection] = test, runner.epoch
                if side == 'val':
                    save_model(runner)

    def after_train(self, runner: Runner) -> None:
        """Save the last epoch's weights if there is no inner validation."""
        if 'inner-val' not in self.outcome.chosen:
            save_model(runner)


def save_model(runner: Runner) -> None:
    """Save the weights as ``model.pth`` in the work folder, after an epoch."""
    runner.save_checkpoint(
        runner.work_dir,
        MODEL,
        save_optimizer=False,
        save_param_scheduler=False,
        meta=dict(epoch=runner.epoch, iter=runner.iter),  # otherwise MMEngine would count one more
    )


def finetune_fold(cfg: Config, work_dir: str | Path) -> FoldOutcome:
    """Run a config from :func:`fold_config`.

    Args:
        cfg: The config.
        work_dir: Receives ``model.pth``, with :mod:`.training_features`, and ``config.py``, which every tool of the
            host accepts.

    Returns:
        Predictions and selected epochs.

    Raises:
        ValueError: The training diverged.
    """
    work_dir = Path(work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    for leftover in work_dir.glob('run-*'):  # of a killed process: the output folder is locked
        shutil.rmtree(leftover)
    cfg.dump(work_dir / 'config.py')
    cfg = deepcopy(cfg)
    cfg.default_hooks.checkpoint = None  # SelectionHook keeps only the selected epoch
    cfg.default_hooks.logger = None
    cfg.visualizer = dict(type='UniversalVisualizer', vis_backends=[])
    cfg.log_level = 'ERROR'
    # The backbone is measured once; measurements in every fold would go unread.
    remove_hook(cfg, 'BackboneHealthHook')
    cfg.work_dir = str(work_dir / f'run-{os.getpid()}')
    cfg.experiment_name = f'{work_dir.name}-{time.monotonic_ns()}'  # MMEngine keeps one runner per name
    outcome = FoldOutcome()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(SelectionHook(outcome))
    try:
        runner.train()
    finally:
        _stop_workers(runner)
    model = Path(cfg.work_dir, MODEL)
    add_training_features(model, measure_training(model, cfg))
    model.replace(work_dir / MODEL)
    shutil.rmtree(cfg.work_dir)  # MMEngine's logs and its copy of the config
    return outcome


def _stop_workers(runner: Runner) -> None:
    """Stop persistent workers now: if left to the garbage collector during the next fold, each takes five seconds."""
    for loop in (runner._train_loop, runner._val_loop):
        iterator = getattr(getattr(loop, 'dataloader', None), '_iterator', None)
        if iterator is not None and hasattr(iterator, '_shutdown_workers'):
            iterator._shutdown_workers()


def fold_config(
    cfg: Config,
    data: Mapping[str, Any],
    sides: Mapping[str, bool],
    backbone: PretrainedBackbone,
    checkpoint: Path | None,
    seed: int,
    options: EvaluationOptions,
) -> Config:
    """Adapt a config of ``configs/pocus`` to one fold, evaluated on test and inner validation parts every epoch.

    Without either, it is not evaluated.

    Args:
        cfg: The config to start from.
        data: Settings of all datasets: ``fold_file``, ``fold``, ``classes``.
        sides: Which of ``train``, ``val``, ``test`` are not empty.
        backbone: Backbone, which defines architecture and input.
        checkpoint: Its weights, with MMPretrain's names.
        seed: Seed of the run.
        options: Options of the evaluation; epochs and ``batch_norm`` (see :class:`~uscl_plugin.hooks.FreezeHook`)
            of None keep the config's.

    Returns:
        A new config.
    """
    cfg = deepcopy(cfg)
    root, num_classes = str(Path(options.data).expanduser().resolve()), len(data['classes'])
    tested = [side for side in ('val', 'test') if sides[side]]
    init = dict(type='Pretrained', checkpoint=str(checkpoint), prefix='backbone.')
    cfg.model.backbone = ConfigDict(backbone.config | {'init_cfg': init})
    output = backbone.output
    cfg.model.head.update(num_classes=num_classes, in_channels=output.channels)
    if not output.is_map:  # there is nothing to pool
        cfg.model.neck = None
    expected = dict(mean=backbone.mean, std=backbone.std, to_rgb=backbone.to_rgb)
    cfg.model.data_preprocessor.update(num_classes=num_classes, **expected)
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    for loader, split in zip(loaders, ('train', tested, 'test' if sides['test'] else tested or 'train'), strict=True):
        loader.dataset.update(data, data_root=root, frames_per_video=options.frames_per_video, split=split)
        set_input_size(loader.dataset, options.size)
        loader.persistent_workers = loader.num_workers > 0
    if (epochs := options.epochs) is not None:
        cfg.train_cfg.max_epochs = epochs
        for schedule in cfg.param_scheduler:
            if schedule['type'] == 'CosineAnnealingLR':
                schedule.update(T_max=epochs - schedule.get('begin', 0), end=epochs)
    train_last_block(cfg, backbone.network)
    for hook in hook_settings(cfg, 'FreezeHook'):
        hook['batch_norm'] = options.batch_norm or hook['batch_norm']
    cfg.train_cfg.val_interval = 1
    cfg.default_hooks.checkpoint.save_best = f'{"val/" if len(tested) > 1 else ""}frame/accuracy' if tested else None
    if not tested:
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.randomness = dict(seed=seed)
    return cfg


def train_last_block(cfg: Config, network: nn.Module) -> None:
    """Let the hooks of a config that name a ResNet-18's last block train that of another backbone."""
    for hook in hook_settings(cfg, 'FreezeHook'):
        last = [f'backbone.{name}' for name in last_block(network)]
        hook['trainable'] = [new for name in hook['trainable'] for new in (last if name == LAST_BLOCK else [name])]
