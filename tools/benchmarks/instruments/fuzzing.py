"""Feed damaged files to readers in a process of their own, which may crash."""

import math
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import hypothesis
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from .damaged_files import DECOY

_STALLED = 12  # wall-clock limit as a multiple of the CPU limit, since machines are shared
_ADDRESSES = 4  # address space limit as a multiple of the memory limit
# Inputs that are drawn together, all different; some 10 ms each.
_DRAWN = settings(
    max_examples=20, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
# Operations that reading never needs, as named by Python's audit hooks.
_OWN_FILES = {'os.remove', 'os.rename'}  # allowed in the folder of the input
_FORBIDDEN = {*_OWN_FILES, 'os.system', 'os.exec', 'os.posix_spawn', 'subprocess.Popen', 'socket.connect'}


@dataclass(frozen=True)
class Reader:
    """A target of fuzzing.

    Attributes:
        name: Name of the row in the table.
        file: Path of an input, relative to its own folder; readers may use the suffix.
        seeds: Valid files to damage.
        damaged: Makes the strategy of inputs from these files.
        read: Receives the path of an input and reads all of it; may return anything.
        errors: Documented errors for unreadable input. The message should name the file.
        around: Contents of other required files, by path relative to the folder.
    """

    name: str
    file: str
    seeds: Sequence[bytes]
    damaged: Callable[[Sequence[bytes]], SearchStrategy[bytes]]
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...]
    around: Mapping[str, bytes] = field(default_factory=dict)

    def inputs(self, seed: int) -> Iterator[bytes]:
        """Endless damaged files; deterministic for the same ``seed``, seed files and version of Hypothesis."""
        return chain.from_iterable(dict.fromkeys(self._draw(f'{seed}/{self.name}/{batch}')) for batch in count())

    def _draw(self, seed: str) -> list[bytes]:
        drawn: list[bytes] = []

        @hypothesis.seed(seed)
        @_DRAWN
        @given(self.damaged(self.seeds))
        def draw(content: bytes) -> None:
            drawn.append(content)

        draw()
        return drawn


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
    readers: Sequence[Reader], inputs: int, seed: int = 0, seconds: float = 10.0, memory: int = 1024
) -> Iterator[tuple[Outcome, bytes]]:
    """Read damaged files.

    Args:
        readers: Readers, each of which gets the same number of inputs, in turn.
        inputs: Number of inputs over all readers.
        seed: Seed of the damage.
        seconds: CPU time after which reading an input counts as a hang; the wall-clock limit is twelve times that.
        memory: MB allowed for reading one input.

    Yields:
        The result for every input, and the input.
    """
    context = multiprocessing.get_context('fork')
    drawn = [reader.inputs(seed) for reader in readers]  # in this process: draws depend on the imported modules
    process: Any = None
    with tempfile.TemporaryDirectory(prefix='fuzz-') as folder:
        for index in range(inputs):
            number, place = divmod(index, len(readers))
            content = next(drawn[place])
            if process is None:
                ours, theirs = context.Pipe()
                process = context.Process(
                    target=_serve, args=(theirs, readers, Path(folder), seconds, memory), daemon=True
                )
                process.start()
                theirs.close()
            ours.send((place, number, content))
            try:
                outcome = ours.recv()
            except EOFError:
                process.join()
                outcome, process = _death(readers[place].name, number, process.exitcode, seconds), None
            yield outcome, content
        if process is not None:
            ours.send(None)  # not closed: the process holds that end, too
            process.join()


def _death(reader: str, number: int, exit_code: int, seconds: float) -> Outcome:
    if exit_code == -signal.SIGPROF:
        return Outcome(reader, number, 'hang', f'still busy after {seconds:g} s of CPU time', seconds)
    if exit_code == -signal.SIGALRM:
        return Outcome(reader, number, 'hang', f'still waiting after {_STALLED * seconds:g} s', seconds)
    what = signal.Signals(-exit_code).name if exit_code < 0 else f'exit code {exit_code}'
    return Outcome(reader, number, 'crash', f'the process died ({what})')


def _serve(connection: Connection, readers: Sequence[Reader], folder: Path, seconds: float, memory: int) -> None:
    """Read the inputs sent by the main process, until it sends None."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    home = folder / str(os.getpid())
    seen = _watch(home)
    limit = int(_status('VmSize') * 1e6 + _ADDRESSES * memory * 1e6)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while task := connection.recv():
        index, number, content = task
        path = _place(home / readers[index].name, readers[index], content)
        signal.setitimer(signal.ITIMER_PROF, seconds)  # by default, these signals end the process
        signal.setitimer(signal.ITIMER_REAL, _STALLED * seconds)
        outcome = _read_one(readers[index], number, path, seen, memory)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(outcome)


def _place(folder: Path, reader: Reader, content: bytes) -> Path:
    """Write an input and the files that belong to it."""
    shutil.rmtree(folder, ignore_errors=True)  # a reader may have changed the other files
    for name, part in {**reader.around, reader.file: content}.items():
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


def _watch(home: Path) -> list[str]:
    """Record, in the returned list, everything this process does that reading the files in a folder does not need."""
    seen: list[str] = []

    def note(event: str, arguments: tuple) -> None:
        paths = [argument for argument in arguments if isinstance(argument, str | os.PathLike)]
        if event in _OWN_FILES and paths and all(Path(path).is_relative_to(home) for path in paths):
            return  # such as of a store that is taken up again
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
