"""Train in this process, with a few lines on the console, until the end or until somebody asks for it."""

import itertools
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console

from uscl.core.errors import SourceError
from uscl.core.graceful_stop import stop_on_signal
from uscl_plugin.hooks.contrastive_monitor import CollapseError
from uscl_plugin.hooks.finite_loss import NonFiniteError

from .run_warnings import WarningCollector
from .training_progress import TrainingProgress, TrainingStoppedError


def train_watched(
    cfg: Config, console: Console, logs: Path, out_of_memory: str, hooks: Sequence[Hook] = ()
) -> int | None:
    """Train to the end of a config.

    Args:
        cfg: The config.
        console: Where progress and warnings are shown.
        logs: Folder for the curves and logs of the hosts.
        out_of_memory: Which setting is too large for the GPU, and the remedy, if its memory runs out.
        hooks: Further hooks.

    Returns:
        None; or the epoch, from 1, in which the run was stopped.

    Raises:
        SourceError: The GPU has too little memory, the loss is not finite, or the features collapsed.
    """
    # MMEngine keeps logs by name, and its own name is of the second, in which an earlier run may have ended.
    cfg.experiment_name = f'{Path(cfg.work_dir).name}-{time.monotonic_ns()}'
    with stop_on_signal() as request:
        runner = Runner.from_cfg(cfg)
        warnings = WarningCollector(runner.logger)
        progress = TrainingProgress(console, request)
        for hook in (*hooks, progress):
            runner.register_hook(hook)
        try:
            runner.train()
            return None
        except TrainingStoppedError:
            return runner.epoch + 1
        except torch.OutOfMemoryError as error:
            raise SourceError(f'the GPU has too little memory for {out_of_memory}.', exit_code=1) from error
        except (NonFiniteError, CollapseError) as error:
            raise SourceError(str(error), exit_code=1) from error
        except RuntimeError as error:
            if request.is_set and 'DataLoader worker' in str(error):  # stopped by the same signal
                return runner.epoch + 1
            raise
        finally:
            progress.close()
            runner.call_hook('after_run')  # also if it was stopped: releases the folder
            _put_logs_away(runner, logs)
            for warning in warnings.messages:
                console.print(f'warning: {warning}')


def _put_logs_away(runner: Runner, folder: Path) -> None:
    """Move what MMEngine logged beside the checkpoints, by time of its start, into one folder."""
    runner.visualizer.close()
    for handler in list(runner.logger.handlers):
        handler.close()
        runner.logger.removeHandler(handler)
    logs, wanted = Path(runner.work_dir) / runner.timestamp, folder / runner.timestamp
    if logs.is_dir() and logs.resolve() != wanted.resolve():
        # A run that ended and went on within a second has the same time of its start.
        names = (wanted.with_name(f'{wanted.name}_{k}') for k in itertools.count(2))
        shutil.move(logs, next(name for name in itertools.chain([wanted], names) if not name.exists()))
