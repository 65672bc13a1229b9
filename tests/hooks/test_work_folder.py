"""One training at a time in a work folder, whoever starts it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from uscl.core.errors import FolderInUseError
from uscl.core.folder_lock import LOCK, lock_folder
from uscl_plugin.hooks import plain_checkpoint
from uscl_plugin.running.host_tools import host_tool


class Note(Hook):
    """Looks for the lock in every step, and may break off."""

    def __init__(self, error=None):
        self.error, self.seen = error, []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen.append((Path(runner.work_dir) / LOCK).is_file())
        if self.error is not None:
            raise self.error


def run(cfg, hook=None):
    runner = Runner.from_cfg(cfg)
    runner.register_hook(hook or Note())
    runner.train()
    return runner


def test_a_training_holds_its_folder_from_start_to_end(run_config, tmp_path):
    note = Note()
    run(run_config(1), note)
    assert note.seen == [True, True]
    assert not list(tmp_path.rglob(LOCK))


def test_one_that_broke_off_keeps_out_no_other_of_its_process(run_config, tmp_path):
    runners = []  # a notebook keeps them
    for error in (KeyboardInterrupt(), RuntimeError('out of memory')):
        runners.append(Runner.from_cfg(run_config(1)))
        runners[-1].register_hook(Note(error))
        with pytest.raises(type(error)):
            runners[-1].train()
        assert (tmp_path / 'run' / LOCK).is_file()
    assert run(run_config(1)).epoch == 1
    assert not list(tmp_path.rglob(LOCK))


def test_only_trainings_need_it(run_config, tmp_path):
    with lock_folder(tmp_path / 'run', 'training'):
        runner = Runner.from_cfg(run_config(1))
        runner.call_hook('before_run')  # as in Runner.test
        runner.call_hook('after_run')
        with pytest.raises(FolderInUseError, match=rf'{tmp_path}/run .* process {os.getpid()} '):
            runner.train()
        assert (tmp_path / 'run' / LOCK).is_file() and not list((tmp_path / 'run').glob('*.pth'))


def test_other_processes_of_a_run_stop_with_the_first(run_config, tmp_path, monkeypatch):
    def broadcast(content):
        assert content == [None]
        content[0] = 'the folder is in use.'

    monkeypatch.setattr(plain_checkpoint, 'is_main_process', lambda: False)
    monkeypatch.setattr(plain_checkpoint, 'broadcast_object_list', broadcast)
    with pytest.raises(FolderInUseError, match=r'^the folder is in use\.$'):
        run(run_config(1))
    assert not list(tmp_path.rglob(LOCK))


@pytest.mark.slow  # two trainings in processes of their own
def test_two_at_once_and_one_that_was_killed(run_config, root, tmp_path):
    cfg = run_config(500)
    cfg.dump(tmp_path / 'config.py')
    environment = os.environ | {'PYTHONPATH': f'{root}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'}

    def start(tool, *arguments):
        return subprocess.Popen(
            [sys.executable, str(tool), str(tmp_path / 'config.py'), *arguments],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    first, second = start(root / 'tools' / 'train.py'), None
    try:
        deadline = time.monotonic() + 200
        while not list((tmp_path / 'run').glob('epoch_*.pth')):
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        first.send_signal(signal.SIGSTOP)
        (tmp_path / 'run' / '.epoch_9.pth.1.tmp').touch()  # of a checkpoint that is being written
        second = start(host_tool('mmpretrain', 'train'), '--resume')  # of this package, the config alone
        error = second.communicate(timeout=200)[1].rstrip().splitlines()
        assert second.returncode == 1
        assert 'FolderInUseError: ' in error[-1]
        assert f'{tmp_path}/run ' in error[-1] and f'process {first.pid} ' in error[-1]
        assert (tmp_path / 'run' / '.epoch_9.pth.1.tmp').is_file()
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()
    assert (tmp_path / 'run' / LOCK).is_file()
    done = len(list((tmp_path / 'run').glob('epoch_*.pth')))
    cfg = run_config(done + 1, **{'resume': True})
    assert run(cfg).epoch == done + 1
    assert not (tmp_path / 'run' / LOCK).exists()
