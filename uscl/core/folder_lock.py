"""One process at a time writes to an output folder."""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import FolderInUseError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = '.uscl.lock'
_TRIES, _PAUSE = 10, 0.1  # a holder needs a moment to write who it is; seconds


def _print_warning(text: str) -> None:
    print(f'warning: {text}', file=sys.stderr)


@contextmanager
def lock_folder(folder: str | Path, activity: str, warn: Callable[[str], None] = _print_warning) -> Iterator[None]:
    """Keep other processes out of an output folder; refuse it at once where one is at work there.

    The lock is the operating system's, on ``FOLDER/.uscl.lock``, which says in words who holds it. It ends with its
    process, however that ends: the file that a killed process leaves keeps nobody out. Otherwise the file is removed.

    Args:
        folder: Made if need be.
        activity: What the process does there, such as ``converting``, for whoever is refused.
        warn: Told, in one sentence, where the folder cannot be locked, as on some network file systems; the work goes
            on then.

    Raises:
        FolderInUseError: Another process, or another place of this one, holds the lock.
    """
    folder = Path(folder)
    is_new, owner = not folder.exists(), os.getpid()
    lock = _acquire(folder, activity, warn)
    try:
        yield
    finally:
        if lock is not None and os.getpid() == owner:  # not a fork of the process
            with suppress(OSError):
                (folder / LOCK).unlink()  # while it is held: filelock drops the lock of a file that is gone
            with suppress(OSError):
                lock.release()
            with suppress(OSError):  # it holds something
                if is_new:
                    folder.rmdir()


def _acquire(folder: Path, activity: str, warn: Callable[[str], None]) -> 'BaseFileLock | None':
    from filelock import FileLock, Timeout  # takes 0.2 s to import, which no --help should

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # whoever writes there says why that does not work
        return None
    path = folder / LOCK
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    for _ in range(_TRIES):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if holder := _read_holder(path):
                break
            time.sleep(_PAUSE)
        except OSError as error:
            warn(f'{folder} cannot be locked ({error.strerror or error}): see to it that nothing else writes there.')
            return None
        else:
            since = time.strftime('%Y-%m-%d %H:%M:%S')
            with suppress(OSError):
                path.write_text(
                    f'process {os.getpid()} on {socket.gethostname()}, {activity} since {since}\n', encoding='utf-8'
                )
            return lock
    raise FolderInUseError(
        f'{folder} is in use by {holder or "another process"}: wait until that has ended, or give another folder.'
    )


def _read_holder(path: Path) -> str:
    try:
        text = path.read_text(encoding='utf-8', errors='replace')
    except OSError:
        return ''
    return ' '.join(text.split())[:300]
