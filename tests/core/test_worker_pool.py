import multiprocessing
import os
import signal
import sys
import time

import pytest

from uscl.core.worker_pool import run_isolated


def square(task):
    if task == 'die':
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 'raise':
        raise ValueError('on purpose')
    return task * task


@pytest.mark.parametrize('workers', [1, 2])
def test_results_carry_their_index(workers):
    assert dict(run_isolated(square, list(range(9)), workers)) == {i: i * i for i in range(9)}


@pytest.mark.parametrize('workers', [1, 2])
def test_only_the_killers_are_lost(workers):
    tasks = [0, 1, 'die', 3, 4, 5, 'die', 7]
    results = list(run_isolated(square, tasks, workers))
    assert dict(results) == {i: None if task == 'die' else i * i for i, task in enumerate(tasks)}
    assert len(results) == len(tasks)


def test_errors_come_back():
    with pytest.raises(ValueError, match='on purpose'):
        list(run_isolated(square, [1, 'raise', 2], 1))


def report_and_sleep(path):
    path.write_text(str(os.getpid()))
    time.sleep(30)


def run_in_child(path):
    list(run_isolated(report_and_sleep, [path], 1))


@pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc')
def test_workers_end_with_a_killed_parent(tmp_path):
    path = tmp_path / 'pid'
    parent = multiprocessing.get_context('fork').Process(target=run_in_child, args=(path,))
    parent.start()
    deadline = time.monotonic() + 20
    while not (path.is_file() and path.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    worker = int(path.read_text())
    parent.kill()
    parent.join()
    while _is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_alive(worker)


def _is_alive(pid):
    try:  # a dead worker may stay a zombie where process 1 collects none
        with open(f'/proc/{pid}/stat') as file:  # noqa: PTH123
            return file.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False
