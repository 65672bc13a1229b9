"""Kill a training run at random moments, resume it each time, and check that nothing is lost."""

import contextlib
import math
import multiprocessing
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from uscl_plugin.running.host_tools import run_host_tool
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.run_checkpoints import newest_checkpoint, numbered_checkpoints

_POLL = 0.001  # seconds


@dataclass
class KillRecord:
    """One life of the training run, from start to kill.

    Attributes:
        seconds: How long it ran.
        while_saving: Whether it was killed while writing a checkpoint.
        truncated: Whether the newest checkpoint was then truncated, as by a failing disk.
        expected: Epoch of the newest loadable checkpoint at its start; None if there was none.
        resumed: Epoch from which it reported to resume; None if it was killed earlier or started from scratch.
        memory: Peak memory of the process, in MB.
    """

    seconds: float
    while_saving: bool
    truncated: bool
    expected: int | None
    resumed: int | None
    memory: float


@dataclass
class KillReport:
    """All lives, and how the last one ended.

    Attributes:
        lives: The lives that ended with a kill.
        differences: Entries in which the last checkpoint differs from that of an undisturbed run.
    """

    lives: list[KillRecord] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[KillRecord]:
        """Lives that did not start from the newest loadable checkpoint."""
        return [life for life in self.lives if life.resumed is not None and life.resumed != (life.expected or 0)]


def kill_until(
    arguments: list[str],
    work_dir: str | Path,
    is_enough: Callable[[list[KillRecord]], bool],
    truncate: float = 0.1,
    seed: int = 0,
    report: Callable[[KillRecord], Any] = lambda life: None,
) -> KillReport:
    """Train, kill with SIGKILL and resume repeatedly; then let the run finish.

    The first life ends when it has a checkpoint; later ones end at a random moment within twice that time, every second
    one while writing a checkpoint. Each life is a fork of this process, so it needs no time for imports.

    Args:
        arguments: Arguments of ``tools/train.py``, without ``--work-dir`` and ``--resume``.
        work_dir: Work directory of the run.
        is_enough: Called after each kill; true stops killing. A run that finishes by itself also stops it.
        truncate: Fraction of kills after which the newest checkpoint is truncated at a random byte.
        seed: Seed of the random moments.
        report: Called with each life.

    Returns:
        The lives; use :func:`differences` to compare how two runs ended.

    Raises:
        RuntimeError: The run failed by itself; its output is in ``work_dir/output.txt``.
    """
    work_dir = Path(work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    result, longest = KillReport(), math.inf
    while not is_enough(result.lives):
        expected = _newest_epoch(work_dir)
        process, begin = _start(arguments, work_dir), time.monotonic()
        written = '.epoch_*.tmp'
        if longest == math.inf:
            _live(process, until=math.inf, glimpsed=lambda: bool(numbered_checkpoints(work_dir)))
            longest = 2 * (time.monotonic() - begin)
        else:
            on_saving = len(result.lives) % 2 == 1
            pattern, moment = (written, math.inf) if on_saving else ('no such file', begin + rng.uniform(0, longest))
            _live(process, moment, partial(_exists, work_dir, pattern))
            time.sleep(rng.uniform(0, 0.02) * on_saving)
        memory = _peak_memory(process.pid)
        finished = not process.is_alive()
        _kill(process)
        if finished:
            _check(process, work_dir)
            break
        saving = any(work_dir.glob(written))
        truncated = rng.random() < truncate and _cut_off_newest(work_dir, rng)
        life = KillRecord(time.monotonic() - begin, saving, truncated, expected, _resumed(work_dir), memory)
        result.lives.append(life)
        report(life)
    process = _start(arguments, work_dir)
    process.join()
    _check(process, work_dir)
    return result


def differences(work_dir: str | Path, other: str | Path) -> list[str]:
    """Where the last checkpoints of two runs differ: weights, optimiser, schedules, averages, step counts.

    Args:
        work_dir: Work directory of one run.
        other: Work directory of the other.

    Returns:
        Paths of the differing entries; none if the runs ended identically, to the last bit.
    """
    found = []
    for folder in (work_dir, other):
        path, _ = newest_checkpoint(folder)
        if path is None:
            raise FileNotFoundError(f'{folder} has no loadable checkpoint: let the run finish.')
        checkpoint = load_plain_checkpoint(path)
        meta = checkpoint.pop('meta')
        checkpoint.pop('message_hub')  # log values and times
        found.append(dict(leaves(checkpoint | {'epoch': meta['epoch'], 'iter': meta['iter']})))
    one, two = found
    return sorted(
        {name for name in one if name not in two or not _same(one[name], two[name])} | {n for n in two if n not in one}
    )


def _start(arguments: list[str], work_dir: Path) -> Any:
    (work_dir / 'output.txt').unlink(missing_ok=True)  # from the previous life
    # Not daemonic, because the training run starts workers.
    process = multiprocessing.get_context('fork').Process(target=_train, args=(arguments, work_dir))
    process.start()
    return process


def _train(arguments: list[str], work_dir: Path) -> None:
    os.setsid()  # one process group with its workers, which must die with it
    output = (work_dir / 'output.txt').open('w', buffering=1)  # stays open until the process ends
    sys.stdout = sys.stderr = output
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    status = run_host_tool('train', [*arguments, '--work-dir', str(work_dir), '--resume'])
    os._exit(status)


def _live(process: Any, until: float, glimpsed: Callable[[], bool]) -> None:
    """Wait until a time, an event, or the end of the process."""
    while process.is_alive() and time.monotonic() < until and not glimpsed():
        time.sleep(_POLL)


def _exists(folder: Path, pattern: str) -> bool:
    return any(folder.glob(pattern))


def _kill(process: Any) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # not yet in its own group
        os.kill(process.pid, signal.SIGKILL)
    process.join()


def _check(process: Any, work_dir: Path) -> None:
    if process.exitcode != 0:
        tail = (work_dir / 'output.txt').read_text(errors='replace')[-1500:]
        raise RuntimeError(f'the training in {work_dir} failed by itself (status {process.exitcode}):\n{tail}')


def _cut_off_newest(work_dir: Path, rng: random.Random) -> bool:
    """Truncate the newest checkpoint, if another one loads."""
    newest, skipped = newest_checkpoint(work_dir)
    if newest is None or len(numbered_checkpoints(work_dir)) - len(skipped) < 2:
        return False
    os.truncate(newest, rng.randrange(newest.stat().st_size))
    return True


def _newest_epoch(work_dir: Path) -> int | None:
    path, _ = newest_checkpoint(work_dir)
    return None if path is None else load_plain_checkpoint(path)['meta']['epoch']


def _resumed(work_dir: Path) -> int | None:
    output = work_dir / 'output.txt'
    text = output.read_text(errors='replace') if output.exists() else ''
    match = re.search(r'resumed epoch: (\d+)', text)
    return int(match[1]) if match else None


def _peak_memory(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f'/proc/{pid}/status').read_text().splitlines():
            if line.startswith('VmHWM'):
                return int(line.split()[1]) / 1024
    return float('nan')


def leaves(value: Any, where: str = '') -> Iterator[tuple[str, Any]]:
    """Paths to all leaves of nested dicts and sequences, with their values."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f'{where}/{key}')
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, f'{where}/{index}')
    else:
        yield where, value


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return torch.equal(one, two)
    return type(one) is type(two) and one == two
