"""Three real processes, one of which has an accident: the others end soon and say whose it was."""

import multiprocessing
import os
import signal
import sys
import time
import traceback

import pytest
import torch
from torch import distributed as dist

from uscl_plugin.engine import rank_watch
from uscl_plugin.engine.distributed import LaunchError, watched
from uscl_plugin.engine.rank_watch import LostProcessError, RankWatch

WORLD_SIZE, PATIENCE, STEPS = 3, 3.0, 8


def _kill():
    os.kill(os.getpid(), signal.SIGKILL)


def _stop():
    os.kill(os.getpid(), signal.SIGSTOP)  # like a machine that lost its network: connections stay open


def _raise():
    raise ZeroDivisionError('planted\nin two lines')


ACCIDENTS = {  # rank → what happens to it in the middle of the run
    'kill': {1: _kill},
    'kill while the first evaluates': {0: lambda: time.sleep(60), 1: _kill},
    'stop': {1: _stop},
    'kill the first': {0: _kill},
    'raise': {1: _raise},
    'raise in the first': {0: _raise},
    'the first evaluates': {0: lambda: time.sleep(2 * PATIENCE)},
    'the last is slow to end': {},
}


def _work(rank, port, what, folder):
    with (folder / f'{rank}.err').open('w') as sys.stderr:
        rank_watch.INTERVAL, rank_watch._GRACE = 0.3, 2.0
        torch.set_num_threads(1)
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(WORLD_SIZE), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
        os.environ['USCL_RANK_PATIENCE'] = str(PATIENCE)
        dist.init_process_group('gloo')
        try:
            with watched('pytorch'):
                for step in range(STEPS):
                    if step == STEPS // 2:
                        ACCIDENTS[what].get(rank, int)()
                    dist.all_reduce(torch.ones(1))
                    time.sleep(0.1)
                if rank == 2 and what == 'the last is slow to end':
                    time.sleep(1)
            (folder / f'{rank}.done').touch()
        except LostProcessError as error:
            print(f'error: {error}', file=sys.stderr)
            raise SystemExit(1) from None
        except BaseException:
            traceback.print_exc()
            raise


@pytest.fixture
def accident(tmp_path, free_port):
    """A function that runs the processes and gives, by rank, the seconds until each ended, its status and its words."""
    context = multiprocessing.get_context('forkserver')
    processes = []

    def run(what):
        processes.extend(context.Process(target=_work, args=(rank, free_port, what, tmp_path)) for rank in range(3))
        for process in processes:
            process.start()
        began = time.monotonic()
        ended = {}
        while len(ended) < 3 and time.monotonic() - began < 60:
            for rank, process in enumerate(processes):
                if rank not in ended and not process.is_alive():
                    ended[rank] = time.monotonic() - began
            if what == 'stop' and {0, 2} <= ended.keys():
                break
            time.sleep(0.05)
        return {
            rank: (seconds, processes[rank].exitcode, (tmp_path / f'{rank}.err').read_text())
            for rank, seconds in ended.items()
        }

    yield run
    for process in processes:
        process.kill()
        process.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('what', 'dead', 'message'),
    [
        ('kill', 1, 'Process 1 of 3 is gone: nothing was heard of it for'),
        ('kill while the first evaluates', 1, 'Process 1 of 3 is gone: nothing was heard of it for'),
        ('stop', 1, 'Process 1 of 3 is gone: nothing was heard of it for'),
        ('kill the first', 0, 'Process 0 of 3, or torchrun on the first machine, is gone'),
        ('raise', 1, 'Process 1 ended: ZeroDivisionError: planted.'),
        ('raise in the first', 0, 'Process 0 ended: ZeroDivisionError: planted.'),
    ],
)
def test_the_others_end_and_name_it(accident, what, dead, message):
    found = accident(what)
    assert {0, 1, 2} - {dead} <= found.keys()
    for rank in {0, 1, 2} - {dead}:
        seconds, status, words = found[rank]
        assert status == 1 and message in words and '--resume' in words, (rank, status, words)
        assert words.count('error: ') == 1 and f'Process {rank} ends, too' in words
        assert seconds < 30  # the collectives' own timeout is half an hour


@pytest.mark.slow
@pytest.mark.parametrize('what', ['the first evaluates', 'the last is slow to end'])
def test_waiting_is_no_accident(accident, tmp_path, what):
    found = accident(what)
    assert [status for _, status, _ in found.values()] == [0, 0, 0], found
    assert all((tmp_path / f'{rank}.done').is_file() for rank in range(3))
    assert all('error' not in words for _, _, words in found.values())


def test_an_error_of_ones_own_is_passed_on(monkeypatch):
    for name, value in dict(RANK='1', WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT='1').items():
        monkeypatch.setenv(name, value)
    said = []
    monkeypatch.setattr(RankWatch, 'start', lambda self: said.append('start'))
    monkeypatch.setattr(RankWatch, '_leave', lambda self, farewell, stay=0: said.append(farewell))
    with pytest.raises(KeyError, match='own'), watched('pytorch'):
        raise KeyError('own')
    with pytest.raises(SystemExit), watched('pytorch'):
        raise SystemExit(0)
    assert said == ['start', "ended: KeyError: 'own'", 'start', 'finished']
    monkeypatch.setenv('USCL_RANK_PATIENCE', '0')
    with watched('pytorch'):
        pass
    assert len(said) == 4
    monkeypatch.setenv('USCL_RANK_PATIENCE', 'soon')
    with pytest.raises(LaunchError, match="USCL_RANK_PATIENCE should be seconds, got 'soon'"), watched('pytorch'):
        pass
    monkeypatch.delenv('USCL_RANK_PATIENCE')
    monkeypatch.setenv('WORLD_SIZE', '1')
    with watched('pytorch'):
        pass
    assert len(said) == 4


@pytest.mark.parametrize(
    ('error', 'farewell'),
    [
        (RuntimeError('NCCL error: out of memory'), 'ended: RuntimeError: NCCL error: out of memory'),
        (RuntimeError('File ".../frame_store.py", could not restore'), 'ended: RuntimeError: File'),
        (dist.DistBackendError('NCCL communicator was aborted'), 'ended: DistBackendError: NCCL communicator'),
    ],
)
def test_what_is_nobody_elses_fault_is_said_to_the_others(error, farewell, monkeypatch):
    monkeypatch.setattr('uscl_plugin.engine.rank_watch.INTERVAL', 0.05)
    watch = RankWatch(1, 2, '127.0.0.1', 1)
    assert watch.fail(error) is None
    assert watch._farewell.startswith(farewell)  # not that it has finished, which the others would wait with


@pytest.mark.parametrize('patience', ['1', '2', 'nan'])
def test_patience_below_the_beat_is_refused(patience, monkeypatch):
    for name, value in (('RANK', '0'), ('WORLD_SIZE', '2'), ('MASTER_ADDR', '127.0.0.1'), ('MASTER_PORT', '1')):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv('USCL_RANK_PATIENCE', patience)
    with (
        pytest.raises(LaunchError, match=r'USCL_RANK_PATIENCE should be 0 \(off\) or some multiples of 2 s'),
        watched('pytorch'),
    ):
        pass
