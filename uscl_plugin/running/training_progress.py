"""The progress of a training run on the console."""

import math
from datetime import timedelta
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from uscl.core.graceful_stop import StopRequest

_LINES = 10  # of a run whose output is not a terminal
# Measures of the last evaluation by MMEngine's key; the first that a run has.
_EVALUATED = {'val/video/accuracy': 'accuracy', 'val/coco/segm_mAP': 'mask AP', 'val/coco/bbox_mAP': 'box AP'}


class TrainingStoppedError(Exception):
    """The user has asked the run to end."""


class TrainingProgress(Hook):
    """Show epoch, loss, similarity of the positive pairs, held-out retrieval and the time left; end when asked to.

    On a terminal this is one bar; elsewhere, a line for every tenth of the run. A run that is asked to end does so
    after the current step, or, if a checkpoint is being written, after that.

    Args:
        console: Where to show it.
        request: Whether the run is to end.

    Raises:
        TrainingStoppedError: It was asked to.
    """

    priority = 'LOWEST'  # after the hooks that measure

    def __init__(self, console: Console, request: StopRequest) -> None:
        self._console = console
        self._request = request
        # No refresh thread: loading processes are forked while the bar is shown.
        self._progress = Progress(
            TextColumn('{task.description}', table_column=Column(no_wrap=True)),
            BarColumn(None),
            TextColumn('{task.fields[values]}', table_column=Column(no_wrap=True)),
            _TimeLeft(table_column=Column(no_wrap=True)),
            console=console,
            expand=True,
            auto_refresh=False,
            redirect_stdout=False,  # what the hosts print goes to the log, not above the bar
            redirect_stderr=False,
            speed_estimate_period=600,  # seconds: steps may be slow
        )
        self._said = 0

    def before_train(self, runner: Runner) -> None:
        """Show the bar."""
        self._task = self._progress.add_task('', total=runner.max_iters, completed=runner.iter, values='')
        self._said = runner.epoch * _LINES // runner.max_epochs
        if self._console.is_terminal:
            self._progress.start()

    def before_train_epoch(self, runner: Runner) -> None:
        """End if asked to, now that the last epoch has been saved."""
        self._stop_if_asked()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Move the bar, and end if asked to."""
        self._progress.update(
            self._task,
            completed=runner.iter + 1,
            description=f'epoch {runner.epoch + 1}/{runner.max_epochs}',
            values='  '.join(run_values(runner)),
            refresh=self._console.is_terminal,
        )
        self._stop_if_asked()

    def after_train_epoch(self, runner: Runner) -> None:
        """Print a line for every tenth of the run."""
        done = (runner.epoch + 1) * _LINES // runner.max_epochs
        if done > self._said and not self._console.is_terminal:
            left = self._progress.tasks[self._task].time_remaining
            values = [f'epoch {runner.epoch + 1}/{runner.max_epochs}', *run_values(runner)]
            values += [f'{_clock(left)} left'] if left else []
            self._console.print('  '.join(values), highlight=False, soft_wrap=True)
        self._said = done

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._console.is_terminal:
            self._progress.stop()

    def _stop_if_asked(self) -> None:
        if self._request.is_set:
            raise TrainingStoppedError


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        """The estimated time until the end."""
        return Text('' if task.time_remaining is None else f'{_clock(task.time_remaining)} left')


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def run_values(runner: Runner) -> list[str]:
    """The figures of a run worth showing: mean loss and similarity of an epoch, and those of the last evaluation."""
    steps = math.ceil(runner.max_iters / runner.max_epochs)
    hub, shown = runner.message_hub, []
    for key, name in (('train/loss', 'loss'), ('train/positive_similarity', 'similarity')):
        if key in hub.log_scalars:
            shown.append(f'{name} {hub.get_scalar(key).mean(steps):.3f}')
    if math.isfinite(retrieval := (hub.runtime_info.get('held_out') or {}).get('retrieval', math.nan)):
        shown.append(f'retrieval {retrieval:.0%}')
    for key in [key for key in _EVALUATED if key in hub.log_scalars][:1]:
        shown.append(f'{_EVALUATED[key]} {hub.get_scalar(key).current():.0%}')
    return shown
