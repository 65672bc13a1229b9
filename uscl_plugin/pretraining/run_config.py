"""The config of ``uscl pretrain``: a shipped config on the user's data, complete, to be run by MMPretrain as well."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from uscl.options.common_settings import CommonSettings
from uscl.options.pretraining_options import IMAGENET, PretrainingOptions
from uscl_plugin.comparison.backbone_choice import start_from
from uscl_plugin.comparison.budget import Budget, affordable_epochs
from uscl_plugin.comparison.calibration import seconds_per_step
from uscl_plugin.comparison.methods import parse_method
from uscl_plugin.comparison.pretraining_config import pretraining_config
from uscl_plugin.datasets.pipeline_settings import size_schedule
from uscl_plugin.datasets.transforms.size_schedule import SizeSchedule
from uscl_plugin.running.launch import parse_cfg_options
from uscl_plugin.weights.imagenet_import import import_imagenet

from .pretraining_data import PretrainingData
from .speed_choice import grow_views, use_bfloat16

PAPER_EPOCHS, PAPER_BATCH = 300, 32  # Sec. 4
RECORD = 'pretraining'  # key in config.py of what was measured and chosen
IMAGENET_FILE = 'imagenet.pth'  # in OUT, with --init imagenet
_PROBE_FRAMES = 4  # of each video held back
_PROBE_SHARE = 0.03  # of the run
_SAVES = 20  # checkpoints in a run
GROWING = {'start': 0.5, 'until': 0.8, 'multiple': 16}  # plausible, not searched for


@dataclass(frozen=True)
class RunConfig:
    """A config, and what the user should know about how it was chosen.

    Attributes:
        cfg: The config.
        chosen: What was measured and chosen, to be stored in it.
        lines: A sentence each.
    """

    cfg: Config
    chosen: dict[str, Any]
    lines: list[str]


def make_run_config(options: PretrainingOptions, data: PretrainingData) -> RunConfig:
    """Choose everything that the user did not.

    Args:
        options: Options of the run.
        data: The data.

    Returns:
        The config; its ``work_dir`` is OUT.

    Raises:
        ValueError: The data do not suit the method, or ``--init`` or ``--cfg-options`` do not fit.
        CheckpointError: ``--init`` has no such backbone, or its input is unknown, or ImageNet's weights are missing.
    """
    lines: list[str] = []
    batch = options.batch_size or min(PAPER_BATCH, data.num_train)
    if batch > data.num_train:
        batch = data.num_train
        lines.append(f'batches of {batch} videos, as there are no more')
    elif options.batch_size is None and batch < PAPER_BATCH:
        lines.append(f'batches of {batch} videos instead of {PAPER_BATCH}, as there are no more')
    epochs = options.epochs or PAPER_EPOCHS
    cfg, budget = _config(options, data, batch, epochs)
    chosen: dict[str, Any] = {}
    if said := use_bfloat16(cfg, options.precision):
        lines.append(said)
    arithmetic = cfg.optim_wrapper
    if options.budget is not None:
        seconds = seconds_per_step(cfg)
        per_epoch = seconds * math.ceil(budget.items / budget.batch_size) * budget.epochs / epochs
        epochs = affordable_epochs(60 * options.budget, 0.0, per_epoch * (1 + _PROBE_SHARE), 100_000)
        cfg, budget = _config(options, data, batch, epochs)
        cfg.optim_wrapper = arithmetic
        chosen |= {'seconds_per_step': round(seconds, 4), 'epochs': epochs}
        lines.append(f'{epochs} epochs fit into {options.budget:g} minutes, at {seconds:.2g} s a step')
    if (schedule := size_schedule(cfg.train_dataloader.dataset)) is not None:
        first = SizeSchedule(options.size, **schedule).at(0.0)
        lines.append(f'views grow from {first} to {options.size} px during the run')
    if options.cfg_options:
        cfg.merge_from_dict(parse_cfg_options(options.cfg_options))
    return RunConfig(cfg, chosen, lines)


def _config(options: PretrainingOptions, data: PretrainingData, batch: int, epochs: int) -> tuple[Config, Budget]:
    method = parse_method(options.method)
    common = CommonSettings(
        pretrain_data=str(data.folder),
        pretrain_split=data.train_split,
        label_fraction=options.labels,
        epochs=epochs,
        batch_size=batch,
        size=options.size,
        backbone=options.network,
        workers=options.workers if options.workers is not None else _workers(data.num_train, batch),
    )
    cfg, budget = pretraining_config(method, common, options.seed)
    if options.progressive:
        grow_views(cfg, **GROWING)
    if options.init is not None:
        start_from(cfg, _first_weights(options), Path(options.out) / 'init.pth')
    hooks = cfg.default_hooks
    hooks.checkpoint.update(interval=max(1, budget.epochs // _SAVES), max_keep_ckpts=2)
    if data.held_out is not None:
        hooks.held_out.update(
            data_root=str(data.folder.resolve()),
            split=data.held_out,
            frames_per_video=_PROBE_FRAMES,
            interval=probe_interval(data.num_train, data.num_held_out, budget.epochs),
        )
    cfg.work_dir = str(Path(options.out).resolve())
    return cfg, budget


def _first_weights(options: PretrainingOptions) -> str:
    """The file to start from; ImageNet's weights become one of OUT, so that the run can be compared with them."""
    if options.init != IMAGENET:
        return str(options.init)
    path = Path(options.out) / IMAGENET_FILE
    if not path.is_file():
        import_imagenet(path)
    return str(path)


def _workers(videos: int, batch: int) -> int:
    """Loading processes: none if an epoch is a single batch, as there is nothing to prefetch."""
    return 0 if videos <= batch else min(4, os.cpu_count() or 1)


def probe_interval(num_train: int, num_held_out: int, epochs: int) -> int:
    """Epochs between reports on the videos held back, so that all reports take less than 3 % of the run.

    Counted in forward passes: a report needs one for each of four frames and for two views of a video, an epoch two
    views of a video, each with a backward pass that costs as much as two forward passes.

    >>> probe_interval(80, 20, 300), probe_interval(80, 20, 20), probe_interval(4, 2, 10)
    (9, 10, 10)
    """
    report = num_held_out * (_PROBE_FRAMES + 2)
    reports = int(_PROBE_SHARE * epochs * 6 * num_train / report)
    return math.ceil(epochs / max(1, reports))
