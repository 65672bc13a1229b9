"""Keep the weights of the best epoch of a run that may be stopped and go on."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from uscl.core.atomic_files import write_text
from uscl_plugin.evaluation.finetuning import save_model

EPOCHS = 'epochs.json'  # in the work folder: what was measured after each epoch
Quality = Callable[[Runner, Mapping[str, Any]], tuple[float, ...]]


class BestEpochHook(Hook):
    """Save ``model.pth`` after each epoch that is better than all before; after the last one if none is evaluated.

    What was measured is kept in ``epochs.json``, also over a stop. A run that was stopped between a checkpoint and its
    evaluation evaluates when it goes on, so that a stop changes nothing.

    Args:
        quality: Runner and its metrics → sort key of an epoch, the larger the better.
    """

    priority = 'LOW'

    def __init__(self, quality: Quality) -> None:
        self._quality = quality
        self._rows: list[dict[str, Any]] = []

    def before_train(self, runner: Runner) -> None:
        """Read what was measured before a stop."""
        self._rows = [row for row in read_epochs(runner.work_dir) if row['epoch'] <= runner.epoch]
        if runner.val_loop is not None and runner.epoch and not any(row['epoch'] == runner.epoch for row in self._rows):
            runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        """Compare the epoch just evaluated."""
        found = list(self._quality(runner, metrics or {}))
        if not self._rows or found > best_epoch(self._rows)['quality']:
            save_model(runner)
        self._rows.append({'epoch': runner.epoch, 'quality': found, 'metrics': metrics})
        write_text(Path(runner.work_dir) / EPOCHS, json.dumps(self._rows, indent=1) + '\n')

    def after_train(self, runner: Runner) -> None:
        """Save the last epoch if none was evaluated."""
        if runner.val_loop is None:
            save_model(runner)


def read_epochs(folder: str | Path) -> list[dict[str, Any]]:
    """What a run has measured: ``epoch`` (from 1), ``quality`` and ``metrics`` of each; empty if nothing."""
    path = Path(folder) / EPOCHS
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else []


def best_epoch(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of the highest quality, the earliest if several have it."""
    return max(rows, key=lambda row: row['quality'])
