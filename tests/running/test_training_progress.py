"""The console of a run: a bar on a terminal, ten lines elsewhere."""

import io
import sys

import pytest
from rich.console import Console

from uscl.core.graceful_stop import StopRequest
from uscl_plugin.running.training_progress import TrainingProgress, TrainingStoppedError


class Values(list):
    def mean(self, steps):
        return sum(self[-steps:]) / len(self[-steps:])


class FakeHub:
    def __init__(self):
        self.log_scalars = {'train/loss': Values([0.0]), 'train/positive_similarity': Values([0.0])}
        self.runtime_info = {}

    def get_scalar(self, key):
        return self.log_scalars[key]


class FakeRunner:
    """Twenty-five epochs of two steps."""

    max_epochs, max_iters = 25, 50

    def __init__(self, iteration=0):
        self.iter, self.message_hub = iteration, FakeHub()

    @property
    def epoch(self):
        return self.iter // 2


def play(console, runner, request=None):
    progress = TrainingProgress(console, request or StopRequest())
    progress.before_train(runner)
    while runner.iter < runner.max_iters:
        progress.before_train_epoch(runner)
        for _ in range(2):
            for name, value in (('loss', 10.0 + runner.iter), ('positive_similarity', 0.5)):
                runner.message_hub.log_scalars[f'train/{name}'].append(value)
            progress.after_train_iter(runner, 0)
            last = runner.iter % 2
            if last:
                runner.message_hub.runtime_info['held_out'] = {'retrieval': 0.75}
                progress.after_train_epoch(runner)
            runner.iter += 1
    progress.close()


def test_ten_lines_if_piped():
    file = io.StringIO()
    play(Console(file=file, width=80), FakeRunner())
    lines = file.getvalue().splitlines()
    assert len(lines) == 10 and '\r' not in file.getvalue() and '\x1b' not in file.getvalue()
    assert lines[-1].startswith('epoch 25/25  loss 58.500  similarity 0.500  retrieval 75%')
    assert max(map(len, lines)) <= 80


def test_a_resumed_run_prints_only_what_is_new():
    file = io.StringIO()
    play(Console(file=file, width=80), FakeRunner(iteration=40))
    assert [line.split()[1] for line in file.getvalue().splitlines()] == ['23/25', '25/25']


@pytest.mark.parametrize('width', [80, 120])
def test_one_bar_that_fits_the_terminal(width):
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    play(console, FakeRunner())
    shown = file.getvalue().replace('\x1b[2K', '').replace('\x1b[?25l', '').replace('\x1b[?25h', '')
    lines = [line for line in shown.replace('\x1b[1A', '').replace('\n', '\r').split('\r') if line.strip()]
    assert all(len(line) <= width for line in lines) and '━' in lines[-1]
    assert 'epoch 25/25' in lines[-1] and 'retrieval 75%' in lines[-1] and '0:00:00 left' in lines[-1]


def test_what_the_hosts_print_does_not_go_above_the_bar(capsys):
    file = io.StringIO()
    progress = TrainingProgress(Console(file=file, width=80, force_terminal=True), StopRequest())
    progress.before_train(FakeRunner())
    print('chatter')
    print('warning', file=sys.stderr)
    progress.close()
    assert capsys.readouterr() == ('chatter\n', 'warning\n')
    assert 'chatter' not in file.getvalue() and 'warning' not in file.getvalue()


def test_a_request_ends_the_run_after_the_step():
    request, runner = StopRequest(), FakeRunner()
    progress = TrainingProgress(Console(file=io.StringIO()), request)
    progress.before_train(runner)
    progress.after_train_iter(runner, 0)
    request.is_set = True
    with pytest.raises(TrainingStoppedError):
        progress.after_train_iter(runner, 0)
    with pytest.raises(TrainingStoppedError):
        progress.before_train_epoch(runner)
