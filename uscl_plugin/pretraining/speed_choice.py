"""What takes less time: views that grow, and bfloat16 where the processor has instructions for it."""

import copy
from typing import Any

import torch
from mmengine.config import Config

from uscl_plugin.comparison.calibration import seconds_per_step
from uscl_plugin.compat.cpu_amp_wrapper import has_bfloat16_instructions
from uscl_plugin.datasets.pipeline_settings import input_size, set_size_schedule
from uscl_plugin.datasets.transforms.size_schedule import SizeSchedule
from uscl_plugin.weights.architectures import build_backbone, output_kind

_SMALLEST = 32  # pixels; a ResNet halves a map five times
_WORTH = 1.1  # times as fast, from which bfloat16 is chosen


def grow_views(cfg: Config, **schedule: Any) -> bool:
    """Let the views grow during the run, if its pipeline and its backbone can do that.

    Args:
        cfg: A pretraining config; changed in place.
        **schedule: Arguments of :class:`SizeSchedule`.

    Returns:
        Whether they grow. They do not if a step of the pipeline, the backbone or the model (HiCo) takes one size only,
        if the first size would be the final one, or if it is below 32 px.
    """
    if 'input_size' in cfg.model:
        return False
    dataset = cfg.train_dataloader.dataset
    final = input_size(dataset)
    first = SizeSchedule(final, **schedule).at(0.0)
    if first == final or first < _SMALLEST:
        return False
    try:
        output_kind(build_backbone(dict(cfg.model.backbone)), first)
    except (AssertionError, RuntimeError, ValueError):
        return False
    return set_size_schedule(dataset, schedule)


def use_bfloat16(cfg: Config, precision: str) -> str | None:
    """Run the network in bfloat16, if that is asked for, or is faster on this processor.

    Args:
        cfg: A pretraining config; changed in place.
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on a processor with instructions for it, if a few
            measured steps are at least 1.1 times as fast. A GPU keeps float32 then.

    Returns:
        What was measured, as a sentence; None if nothing was.
    """
    on_gpu = torch.cuda.is_available()
    if precision == 'float32' or (precision == 'auto' and (on_gpu or not has_bfloat16_instructions())):
        return None
    mixed = copy.deepcopy(cfg)
    mixed.optim_wrapper.update(
        dict(type='AmpOptimWrapper', dtype='bfloat16') if on_gpu else dict(type='CPUAmpOptimWrapper')
    )
    said = None
    if precision == 'auto':
        ratio = seconds_per_step(cfg) / seconds_per_step(mixed)
        said = f'bfloat16 is {ratio:.2g} times as fast as float32 here'
        if ratio < _WORTH:
            return f'{said}, so the network runs in float32'
    cfg.optim_wrapper = mixed.optim_wrapper
    return said
