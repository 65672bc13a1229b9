"""How fast are loader and network on a device, alone and together, and how long would a whole pretraining take?"""

import gc
import time
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .config_workload import ConfigWorkload, benchmark_config
from .gpu_correctness import DEVICE_PAIRS, CheckSettings
from .throughput import load_batches, time_network, time_training

AMP = {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.dtype': 'bfloat16'}
PRECISIONS: dict[str, dict[str, Any]] = {'fp32': {}, 'bf16': AMP, 'bf16 + compile': {**AMP, 'compile': True}}


def speed_row(settings: CheckSettings, precision: str, batch_size: int, workers: int, seconds: float) -> dict[str, Any]:
    """Time one batch size in one precision.

    Args:
        settings: The data, size and changes.
        precision: One of :data:`PRECISIONS`.
        batch_size: Videos per batch.
        workers: Number of loading processes.
        seconds: Approximate duration of each of the three measurements.

    Returns:
        ``precision``, ``batch_size``, and videos per second as ``loader_preprocessor``, ``network``, ``end_to_end``;
        ``busy``, the share of the last in which the network did not wait; ``peak_memory_bytes`` on a CUDA device; or
        ``failed``, the reason, which may be too little memory.
    """
    row: dict[str, Any] = {'precision': precision, 'batch_size': batch_size}
    cuda = settings.device.type == 'cuda'
    try:
        options = {**settings.options, **PRECISIONS[precision], 'train_dataloader.pin_memory': cuda}
        cfg = benchmark_config(DEVICE_PAIRS, settings.data, settings.size, batch_size, workers, options)
        workload = ConfigWorkload(cfg, precision, settings.device)
        if cuda:
            torch.cuda.reset_peak_memory_stats(settings.device)
        prepared = workload.prepare(next(iter(workload.batches(1, one_core=True))))
        time_network(workload, prepared, 2)  # the first compiles and chooses algorithms
        count = _enough(time_network(workload, prepared, 2).seconds / 2, seconds)
        row['network'] = count * batch_size / time_network(workload, prepared, count).seconds
        load_batches(workload, max(1, workers), prepare=True)  # starts the workers
        row['loader_preprocessor'] = count * batch_size / load_batches(workload, count, prepare=True)
        timed = time_training(workload, count, [next(iter(workload.batches(1, one_core=True)))])
        row['end_to_end'] = count * batch_size / timed.seconds
        row['busy'] = 1 - timed.waited / timed.seconds
        row['batches'] = count
        row['peak_memory_bytes'] = torch.cuda.max_memory_allocated(settings.device) if cuda else None
    except torch.OutOfMemoryError:
        row['failed'] = 'out of memory'
    except Exception as error:  # a compiler may be missing: the other rows count without it
        row['failed'] = f'{type(error).__name__}: {(str(error).strip() or "no message").splitlines()[0]}'
    finally:
        workload = prepared = None  # type: ignore[assignment]
        gc.collect()
        torch.compiler.reset()
        if cuda:
            torch.cuda.empty_cache()
    return row


def _enough(each: float, seconds: float) -> int:
    return max(2, round(seconds / each))


class EpochClock(Hook):
    """Notes when epochs end, and ends the run after the one in which its time is up.

    Args:
        limit: Seconds of the run.

    Attributes:
        ends: Seconds since the hook was made.
    """

    priority = 'LOWEST'

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._start = time.perf_counter()
        self.ends: list[float] = []

    def after_train_epoch(self, runner: Runner) -> None:
        """Wait for the device and note the time."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter() - self._start)
        if self.ends[-1] > self._limit:
            runner.train_loop.stop_training = True  # as MMEngine's EarlyStoppingHook does


def whole_run(
    settings: CheckSettings, precision: str, workers: int, epochs: int, limit: float, total: int = 300
) -> dict[str, Any]:
    """Train for some epochs, with all hooks and checkpoints, and extrapolate to ``total`` epochs.

    Args:
        settings: The data, size, batch size and changes.
        precision: One of :data:`PRECISIONS`.
        workers: Number of loading processes.
        epochs: Number of epochs, at least 2.
        limit: Seconds after which no further epoch begins.
        total: Epochs of the whole run.

    Returns:
        ``hours`` in all, ``start_seconds`` up to the first epoch's end, ``epoch_seconds`` (median of the others, NaN if
        there is none), ``videos`` and the measured ``epochs``.
    """
    options = {**settings.options, **PRECISIONS[precision], 'train_cfg.max_epochs': epochs}
    options |= {'log_level': 'ERROR', 'work_dir': str(settings.folder), 'experiment_name': settings.folder.name}
    cuda = settings.device.type == 'cuda'
    options |= {'train_dataloader.pin_memory': cuda, 'visualizer': None}
    cfg = benchmark_config(DEVICE_PAIRS, settings.data, settings.size, settings.batch_size, workers, options)
    clock = EpochClock(limit)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(clock, 'LOWEST')
    runner.train()
    epoch = torch.tensor(clock.ends).diff().median().item()
    hours = (clock.ends[0] + (total - 1) * epoch) / 3600
    found = {'hours': hours, 'start_seconds': clock.ends[0], 'epoch_seconds': epoch, 'epochs': len(clock.ends)}
    return {**found, 'precision': precision, 'total_epochs': total, 'videos': len(runner.train_dataloader.dataset)}
