"""Trainings that finish are kept, those that do not are resumed or named."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from uscl_plugin.comparison.training_run import TRAIN, TrainingError, run_training


@pytest.fixture
def tool(monkeypatch):
    """In place of the host's training tool: writes what it is told to, and remembers how it was called."""
    calls = SimpleNamespace(commands=[], epochs=(3,), code=0, text='Traceback\nRuntimeError: out of memory\n')

    def popen(command, stdin, stdout, stderr):
        calls.commands.append(command)
        folder = Path(command[command.index('--work-dir') + 1])
        stdout.write(calls.text)
        for epoch in calls.epochs:
            torch.save(
                {'meta': {'iter': 8 * epoch}, 'state_dict': {}, 'message_hub': {}}, folder / f'epoch_{epoch}.pth'
            )
            (folder / 'last_checkpoint').write_text(str(folder / f'epoch_{epoch}.pth'))
        return nullcontext(SimpleNamespace(returncode=calls.code, wait=lambda: calls.code))

    monkeypatch.setattr(subprocess, 'Popen', popen)
    return calls


def config(epochs=3, **more):
    return Config(dict(train_cfg=dict(max_epochs=epochs), default_scope='mmpretrain', **more))


def test_finished_trainings_are_not_run_again(tool, tmp_path):
    first = run_training(config(), tmp_path / 'run')
    assert (first.checkpoint.name, first.steps, first.was_finished) == ('epoch_3.pth', 24, False)
    assert Config.fromfile(tmp_path / 'run' / 'config.py').train_cfg.max_epochs == 3
    again = run_training(config(), tmp_path / 'run')
    assert (again.checkpoint, again.steps, again.seconds, again.was_finished) == (
        first.checkpoint,
        24,
        first.seconds,
        True,
    )
    assert len(tool.commands) == 1 and '--resume' not in tool.commands[0]


def test_an_interrupted_training_goes_on_and_its_time_adds_up(tool, tmp_path):
    tool.epochs, tool.code = (1, 2), 137
    with pytest.raises(TrainingError, match=r'RuntimeError: out of memory .*137.*train\.log'):
        run_training(config(), tmp_path)
    spent = json.loads((tmp_path / 'started.json').read_text())['seconds']
    tool.epochs, tool.code = (3,), 0
    done = run_training(config(), tmp_path)
    assert '--resume' in tool.commands[1] and '--resume' not in tool.commands[0]
    assert done.steps == 24 and done.seconds > spent > 0
    assert (tmp_path / 'epoch_2.pth').is_file()
    assert (tmp_path / 'train.log').read_text().count('Traceback') == 2  # the first log is kept


def test_it_goes_on_from_the_newest_that_loads(tool, tmp_path):
    tool.epochs, tool.code = (1, 2), 137
    for cut in (2, 1):
        with pytest.raises(TrainingError, match='out of memory'):
            run_training(config(), tmp_path)
        os.truncate(tmp_path / f'epoch_{cut}.pth', 100)
        tool.epochs = ()
    assert '--resume' in tool.commands[1]
    assert Path((tmp_path / 'last_checkpoint').read_text()).name == 'epoch_1.pth'
    with pytest.raises(
        TrainingError, match=r'none of the 2 .* first: .*epoch_2\.pth.* delete them or write to another'
    ):
        run_training(config(), tmp_path)
    assert len(tool.commands) == 2 and (tmp_path / 'epoch_2.pth').is_file()


@pytest.mark.parametrize('finished', [True, False])
@pytest.mark.parametrize('other', ['config', 'data'])
def test_another_config_or_other_data_are_refused_and_nothing_lost(tool, tmp_path, finished, other):
    if not finished:
        tool.epochs, tool.code = (1,), 1
        with pytest.raises(TrainingError, match='out of memory'):
            run_training(config(), tmp_path)
    else:
        run_training(config(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TrainingError, match='--out'):
        run_training(*((config(lr=2), tmp_path) if other == 'config' else (config(), tmp_path, {'data': 'b'})))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(tool.commands) == 1


def test_no_last_epoch_is_a_failure_whatever_the_exit_code(tool, tmp_path):
    tool.epochs, tool.text = (2,), ''
    with pytest.raises(TrainingError, match=r'exit code 0'):
        run_training(config(), tmp_path)


def test_a_checkpoint_that_was_deleted_is_trained_again(tool, tmp_path):
    run_training(config(), tmp_path).checkpoint.unlink()
    assert not run_training(config(), tmp_path).was_finished
    assert len(tool.commands) == 2 and '--resume' not in tool.commands[1]  # from a checkpoint that is gone


def test_what_changes_no_result_does_not_matter(tool, tmp_path):
    run_training(config(train_dataloader=dict(num_workers=4, batch_size=2)), tmp_path)
    more = dict(train_dataloader=dict(num_workers=0, batch_size=2), default_hooks=dict(logger=dict(interval=1)))
    assert run_training(config(**more), tmp_path).was_finished
    for change in (
        dict(train_dataloader=dict(num_workers=4, batch_size=3)),
        more | dict(default_hooks=dict(freezing=dict(type='FreezeHook', trainable=['head']))),
    ):
        with pytest.raises(TrainingError, match='config'):
            run_training(config(**change), tmp_path)


def test_no_step_is_no_training(tool, tmp_path):
    tool.epochs = (0,)
    with pytest.raises(TrainingError, match='0 steps'):
        run_training(config(epochs=0), tmp_path)


STARTS = """import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdin=subprocess.PIPE)
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc')
def test_a_training_ends_with_the_process_that_started_it():
    slow = TRAIN.partition('from uscl_plugin')[0] + 'import time; time.sleep(60)'
    with subprocess.Popen([sys.executable, '-c', STARTS, slow], stdout=subprocess.PIPE, text=True) as parent:
        child = Path('/proc', parent.stdout.readline().strip())
        assert child.exists()
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while child.exists() and 'State:\tZ' not in (child / 'status').read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert time.monotonic() < deadline
