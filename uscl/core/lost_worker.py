"""A process that loads data and was killed, in a sentence."""

import re

# PyTorch has no type of error for it. Its signal handler raises the first, a loader that waits the second.
_LOST = re.compile(
    r'DataLoader worker \(pid(?:\(s\))? [\d, ]+\) (?:is killed by signal: (?P<signal>[\w ]+)|exited unexp)'
)


def lost_worker(error: BaseException) -> str | None:
    """What to say and to do if an error means that a loading process of PyTorch was killed; None if it does not.

    >>> lost_worker(RuntimeError('DataLoader worker (pid 12) is killed by signal: Killed. '))[:57]
    'a process that loads data was killed (Killed), mostly for'
    >>> lost_worker(RuntimeError('another'))
    """
    found = _LOST.match(str(error)) if isinstance(error, RuntimeError) else None
    if found is None:
        return None
    how = f' ({found["signal"].strip()})' if found['signal'] else ''
    return (
        f'a process that loads data was killed{how}, mostly for lack of memory: load with fewer (--workers, or '
        f'train_dataloader.num_workers), free memory, or give a container more shared memory (--shm-size).'
    )
