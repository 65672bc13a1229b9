"""Feed damaged files to readers in worker processes that may crash."""

import math
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from .mutations import DECOY, Mutator

_STALLED = 12  # wall-clock limit as a multiple of the CPU limit, since machines are shared
_ADDRESSES = 4  # address space limit as a multiple of the memory limit
# Operations that reading never needs, as named by Python's audit hooks.
_FORBIDDEN = {'os.system', 'os.exec', 'os.posix_spawn', 'os.remove', 'os.rename', 'subprocess.Popen', 'socket.connect'}


@dataclass(frozen=True)
class Reader:
    """A target of fuzzing.

    Attributes:
        name: Name of the row in the table.
        file: Path of an input, relative to its own folder; readers may use the suffix.
        seeds: Valid files to damage.
        mutate: Function that damages them.
        read: Receives the path of an input and reads all of it; may return anything.
        errors: Documented errors for unreadable input. The message should name the file.
        around: Contents of other required files, by path relative to the folder.
    """

    name: str
    file: str
    seeds: Sequence[bytes]
    mutate: Mutator
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...]
    around: Mapping[str, bytes] = field(default_factory=dict)

    def make_input(self, seed: int, number: int) -> bytes:
        """Input ``number``; deterministic for the same ``seed`` and seed files."""
        rng = random.Random(f'{seed}/{self.name}/{number}')
        return self.mutate(rng, rng.choice(self.seeds), self.seeds)


@dataclass(frozen=True)
class Outcome:
    """Result for one input.

    Attributes:
        reader: Name of the reader.
        number: Number of the input.
        kind: 'fine', 'refused', or a finding: 'error' (an undocumented exception), 'unnamed' (a message without the
            file), 'memory', 'executed' (it ran code or touched other files), 'hang', 'crash'.
        detail: Text of the error.
        seconds: CPU time.
        memory: Peak memory in MB, beyond what the process used before.
    """

    reader: str
    number: int
    kind: str
    detail: str = ''
    seconds: float = 0.0
    memory: float = 0.0

    @property
    def is_finding(self) -> bool:
        """Whether there is something to fix."""
        return self.kind not in ('fine', 'refused')


def fuzz(
    readers: Sequence[Reader], inputs: int, seed: int = 0, seconds: float = 10.0, memory: int = 1024, workers: int = 1
) -> Iterator[Outcome]:
    """Read damaged files.

    Args:
        readers: Readers, each of which gets the same number of inputs, in turn.
        inputs: Number of inputs over all readers.
        seed: Seed of the damage.
        seconds: CPU time after which reading an input counts as a hang; the wall-clock limit is twelve times that.
        memory: MB allowed for reading one input.
        workers: Number of processes, forked from this one.

    Yields:
        The result for every input, in order of completion.
    """
    tasks = deque((index % len(readers), index // len(readers)) for index in range(inputs))
    context = multiprocessing.get_context('fork')
    running: dict[Connection, tuple[Any, tuple[int, int]]] = {}

    def start() -> None:
        ours, theirs = context.Pipe()
        arguments = (theirs, readers, Path(folder), seed, seconds, memory)
        process = context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        assign(ours, process)

    def assign(connection: Connection, process: Any) -> None:
        if tasks:
            running[connection] = process, tasks.popleft()
            connection.send(running[connection][1])
        else:
            connection.send(None)  # closing alone is not enough: forked processes hold each other's connections
            connection.close()
            process.join()

    with tempfile.TemporaryDirectory(prefix='fuzz-') as folder:
        for _ in range(min(workers, inputs)):
            start()
        while running:
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                process, (reader, number) = running.pop(connection)
                try:
                    outcome = connection.recv()
                except EOFError:
                    process.join()
                    yield _death(readers[reader].name, number, process.exitcode, seconds)
                    if tasks:
                        start()
                else:
                    yield outcome
                    assign(connection, process)


def _death(reader: str, number: int, exit_code: int, seconds: float) -> Outcome:
    if exit_code == -signal.SIGPROF:
        return Outcome(reader, number, 'hang', f'still busy after {seconds:g} s of CPU time', seconds)
    if exit_code == -signal.SIGALRM:
        return Outcome(reader, number, 'hang', f'still waiting after {_STALLED * seconds:g} s', seconds)
    what = signal.Signals(-exit_code).name if exit_code < 0 else f'exit code {exit_code}'
    return Outcome(reader, number, 'crash', f'the process died ({what})')


def _serve(
    connection: Connection, readers: Sequence[Reader], folder: Path, seed: int, seconds: float, memory: int
) -> None:
    """Read the inputs named by the main process, until it sends none."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    seen = _watch()
    home = folder / str(os.getpid())
    limit = int(_status('VmSize') * 1e6 + _ADDRESSES * memory * 1e6)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while task := connection.recv():
        index, number = task
        path = _place(home / readers[index].name, readers[index], readers[index].make_input(seed, number))
        signal.setitimer(signal.ITIMER_PROF, seconds)  # by default, these signals end the process
        signal.setitimer(signal.ITIMER_REAL, _STALLED * seconds)
        outcome = _read_one(readers[index], number, path, seen, memory)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(outcome)


def _place(folder: Path, reader: Reader, content: bytes) -> Path:
    """Write an input and the files that belong to it."""
    is_new = not folder.exists()
    for name, part in {**(reader.around if is_new else {}), reader.file: content}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(part)
    return folder / reader.file


def _read_one(reader: Reader, number: int, path: Path, seen: list[str], memory: int) -> Outcome:
    seen.clear()
    before, start = _status('VmRSS', reset=True), time.process_time()
    kind, detail = 'fine', ''
    try:
        reader.read(path)
    except reader.errors as error:
        kind, detail = 'refused', f'{type(error).__name__}: {error}'
        if path.name not in str(error) and str(path.parent) not in str(error):
            kind = 'unnamed'
    except MemoryError as error:
        kind, detail = 'memory', f'MemoryError: {error}'
    except BaseException as error:  # including pyo3's panics, which are not an Exception
        kind, detail = 'error', f'{type(error).__name__}: {error}'
    spent, most = time.process_time() - start, _status('VmHWM') - before
    if seen:
        kind, detail = 'executed', f'{seen[0]} ({detail})'
    elif kind in ('fine', 'refused') and most > memory:
        kind, detail = 'memory', f'{most:.0f} MB ({detail})'
    return Outcome(reader.name, number, kind, detail[:300], spent, max(most, 0.0))


def _watch() -> list[str]:
    """Record, in the returned list, everything this process does that reading a file does not need."""
    seen: list[str] = []

    def note(event: str, arguments: tuple) -> None:
        if event in _FORBIDDEN or (event == 'open' and DECOY in str(arguments[0])):
            seen.append(f'{event} {arguments}'[:200])

    sys.addaudithook(note)
    return seen


def _status(key: str, reset: bool = False) -> float:
    """A line of this process's status in MB; ``reset`` resets the peak."""
    if reset:
        Path('/proc/self/clear_refs').write_text('5')
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{key}:'):
            return int(line.split()[1]) * 1024 / 1e6
    return math.nan
