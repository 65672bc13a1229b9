"""One peer in a process of its own, timed on request, so that peers share neither memory nor threads."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

BENCHMARKS = Path(__file__).resolve().parents[1]
_SAMPLING = 0.1  # seconds between samples of memory


class PeerProcess:
    """Starts a peer, which trains for one step and then waits.

    Args:
        name: See :data:`.peer_workloads.PEERS`.
        settings: See :class:`.peer_workloads.PeerSettings`, as a dict.
        log: File that receives what the peer prints.
        python: Its interpreter.

    Attributes:
        first_step: Seconds from the start of the process to the end of its first step.
        versions: Versions of what it consists of.

    Raises:
        ValueError: The process ended; the message names the peer and its last line.
    """

    def __init__(self, name: str, settings: dict[str, Any], log: Path, python: str = sys.executable) -> None:
        self.name, self.log = name, log
        command = [python, '-m', 'instruments.peer_process', name, json.dumps(settings)]
        paths = [str(BENCHMARKS), os.environ.get('PYTHONPATH', '')]
        start = time.perf_counter()
        with log.open('w') as printed:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                text=True,
                env=os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, paths))},
            )
        self.versions = self._answer()
        self.first_step = time.perf_counter() - start

    def seconds(self, key: str, count: int) -> float:
        """Duration of a pass over ``count`` batches; ``key`` is one of :data:`FIGURES`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f'{key} {count}\n')
        self._process.stdin.flush()
        return self._answer()

    def peak_memory(self, count: int) -> int:
        """Bytes of the process and its workers in a pass, sampled; pages that they share count once."""
        samples, ended = [], Event()

        def sample() -> None:
            while not ended.wait(_SAMPLING):
                samples.append(sum(map(_proportional, _tree(self._process.pid))))

        sampler = Thread(target=sample)
        sampler.start()
        try:
            self.seconds('end_to_end', count)
        finally:
            ended.set()
            sampler.join()
        return max(samples, default=0)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            lines = [text for text in self.log.read_text(errors='replace').splitlines() if text.strip()]
            raise ValueError(f'{self.name} ended: {lines[-1] if lines else self._process.returncode}')
        return json.loads(line)


def _tree(pid: int) -> list[int]:
    """A process and those that it started; empty once it has ended."""
    try:
        tasks = list(Path(f'/proc/{pid}/task').iterdir())
        started = [int(child) for task in tasks for child in (task / 'children').read_text().split()]
    except OSError:
        return []
    return [pid, *(each for child in started for each in _tree(child))]


def _proportional(pid: int) -> int:
    """Resident bytes, a page shared by n processes counted as 1/n (Pss); 0 once the process has ended."""
    try:
        lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith('Pss:')), 0)


def serve(name: str, settings: str) -> None:
    """Build a peer, train for one step, and time what is asked for on stdin, until it ends."""
    answers = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    from .peer_workloads import PeerSettings, build_peer, peer_versions
    from .throughput import load_batches, time_network, time_training

    workload = build_peer(name, PeerSettings(**json.loads(settings)))
    workload.train(workload.batches(1))
    print(json.dumps(peer_versions(name)), file=answers)
    prepared = workload.prepare(next(iter(workload.batches(1, one_core=True))))
    timers: dict[str, Callable[[int], float]] = {
        'loader_preprocessor': lambda count: load_batches(workload, count, prepare=True),
        'network': lambda count: time_network(workload, prepared, count).seconds,
        'end_to_end': lambda count: time_training(workload, count).seconds,
    }
    for line in sys.stdin:
        key, count = line.split()
        print(json.dumps(timers[key](int(count))), file=answers)


if __name__ == '__main__':
    serve(*sys.argv[1:])
