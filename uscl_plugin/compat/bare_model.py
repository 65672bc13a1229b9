"""The model of a run without the wrapper that multi-GPU training adds."""

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


def bare_model(runner: Runner) -> Any:
    """``runner.model``, or the model inside DistributedDataParallel."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
