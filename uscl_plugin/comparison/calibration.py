"""How many epochs fit into a time, measured on a few steps of every method and one evaluation."""

import copy
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from uscl.core.atomic_files import write_text
from uscl.options.comparison_options import ComparisonOptions
from uscl_plugin.datasets.pipeline_settings import input_size, set_input_size, set_size_schedule, size_schedule
from uscl_plugin.datasets.transforms.size_schedule import SizeSchedule

from .budget import affordable_epochs
from .comparison import Comparison, Row
from .pretraining_config import pretraining_config

_START = 30.0  # seconds to start and end a training run: imports, dataset, checkpoints
_STEPS = 3  # timed steps, after one warm-up step


def epochs_for(options: ComparisonOptions, seconds: float) -> ComparisonOptions:
    """Reduce the epochs so that the whole table takes about a given time.

    The choice is stored in ``OUT/budget.json``, so that an interrupted comparison resumes with the same epochs.

    Args:
        options: Options of the comparison; its epochs are the upper limit.
        seconds: Time for everything.

    Returns:
        The options with the chosen epochs.

    Raises:
        ValueError: ``budget.json`` was made for another time.
    """
    record = Path(options.out) / 'budget.json'
    comparison = Comparison(options, report=lambda line: None)
    if record.is_file():
        found = json.loads(record.read_text(encoding='utf-8'))
        if found['seconds'] != seconds:
            raise ValueError(f'{record} was made for a budget of {found["seconds"] / 60:g} minutes: change --out.')
        epochs = int(found['epochs'])
    else:
        began = time.perf_counter()
        row = Row('random', 0)
        comparison.evaluate('random', 'random', 0, row)  # kept, because most tables have this row
        per_epoch, trained = 0.0, 0
        for method in comparison.methods:
            if method.config is not None:
                cfg, budget = pretraining_config(method, options, 0)
                steps = budget.epochs * math.ceil(budget.items / budget.batch_size) / options.epochs
                per_epoch += steps * seconds_per_step(cfg) * options.seeds
                trained += options.seeds
        fixed = options.seeds * len(comparison.methods) * row.seconds + trained * _START
        left = seconds - (time.perf_counter() - began)
        epochs = affordable_epochs(left, fixed, per_epoch, options.epochs) if trained else 1
        write_text(record, json.dumps({'seconds': seconds, 'epochs': epochs}) + '\n')
    return replace(options, epochs=epochs)


def seconds_per_step(cfg: Config) -> float:
    """Seconds per training step, including loading, in this process.

    Args:
        cfg: A pretraining config.

    Returns:
        The mean of a few steps after the first; if views grow during the run, of each size by its share of the run.
    """
    schedule = size_schedule(cfg.train_dataloader.dataset)
    if schedule is None:
        return _seconds_at_one_size(cfg)
    mean = 0.0
    for size, share in SizeSchedule(input_size(cfg.train_dataloader.dataset), **schedule).shares().items():
        fixed = copy.deepcopy(cfg)
        set_size_schedule(fixed.train_dataloader.dataset, None)
        set_input_size(fixed.train_dataloader.dataset, size)
        mean += share * _seconds_at_one_size(fixed)
    return mean


def _seconds_at_one_size(cfg: Config) -> float:
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    loader = Runner.build_dataloader(copy.deepcopy(cfg.train_dataloader), seed=0)
    model = MODELS.build(cfg.model).to(device)
    if hasattr(model, 'start_training'):
        model.start_training(len(loader.dataset), 1)
    model.train()
    # Without a runner nobody else says how long the run is, and averages of a network (BYOL, MoCo v3) need to know.
    MessageHub.get_current_instance().update_info('max_iters', _STEPS + 1)
    optimiser = build_optim_wrapper(model, cfg.optim_wrapper)
    count, began = 0, 0.0
    while count <= _STEPS:
        for batch in loader:
            if count == 1:
                began = time.perf_counter()
            model.train_step(batch, optimiser)
            count += 1
            if count > _STEPS:
                break
    if device.type == 'cuda':
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / _STEPS
