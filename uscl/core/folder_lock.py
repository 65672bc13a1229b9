"""Let only one process at a time write to an output folder."""

import errno
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .atomic_files import write_remedy
from .errors import FolderInUseError
from .relative_path import leads_out

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = '.uscl.lock'
_TRIES, _PAUSE = 10, 0.1  # seconds; the holder needs a moment to write its name


def _print_warning(text: str) -> None:
    print(f'warning: {text}', file=sys.stderr)


@contextmanager
def lock_folder(folder: str | Path, activity: str, warn: Callable[[str], None] = _print_warning) -> Iterator[None]:
    """Lock an output folder; fail at once if another process is working in it.

    The lock is an operating-system lock on ``FOLDER/.uscl.lock``, a text file that names the holder. It ends with the
    process, however that ends, so a file left by a killed process blocks nobody. Otherwise the file is removed.
    Nothing in the folder may be a link out of it: whatever writes or removes something there would do so elsewhere.

    Args:
        folder: Created if needed.
        activity: What the process is doing, such as ``converting``; shown to whoever is refused.
        warn: Called with one sentence if the folder cannot be locked, as on some network file systems. Work continues
            without a lock.

    Raises:
        FolderInUseError: Another process, or another caller in this one, holds the lock; or there is a link out of the
            folder, or something else in place of the lock.
        OSError: The folder cannot be created or written.
    """
    folder = Path(folder)
    is_new, owner = not folder.exists(), os.getpid()
    lock = _acquire(folder, activity, warn)
    try:
        yield
    finally:
        if lock is not None and os.getpid() == owner:  # not in a forked child
            with suppress(OSError):
                (folder / LOCK).unlink()  # while still locked; filelock rejects a lock on a deleted file
            with suppress(OSError):
                lock.release()
            with suppress(OSError):  # it is not empty
                if is_new:
                    folder.rmdir()


def _acquire(folder: Path, activity: str, warn: Callable[[str], None]) -> 'BaseFileLock | None':
    from filelock import FileLock, Timeout  # here, because importing it takes 0.2 s, too long for --help

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    refuse_links(folder)
    if path.is_dir():
        raise FolderInUseError(f'{path} is a folder, where a file should be: remove it, or choose another folder.')
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    for _ in range(_TRIES):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if holder := _read_holder(path):
                break
            time.sleep(_PAUSE)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                where = path if path.exists() else folder
                raise OSError(
                    error.errno, f'{error.strerror}: {write_remedy(error)}, or choose another folder', str(where)
                ) from error
            warn(f'{folder} cannot be locked ({error.strerror or error}): make sure that nothing else writes to it.')
            return None
        else:
            since = time.strftime('%Y-%m-%d %H:%M:%S')
            with suppress(OSError):
                path.write_text(
                    f'process {os.getpid()} on {socket.gethostname()}, {activity} since {since}\n', encoding='utf-8'
                )
            return lock
    user = holder or 'another process'
    raise FolderInUseError(f'{folder} is in use by {user}: wait for it to finish, or choose another folder.')


def refuse_links(folder: Path) -> None:
    """Refuse a link out of an output folder, and any in place of the lock.

    Raises:
        FolderInUseError: There is one.
    """
    for path in folder.iterdir():
        if path.is_symlink() and (path.name == LOCK or leads_out(path, folder)):
            raise FolderInUseError(f'{path} is a link: remove it, or choose another folder to write to.')


def _read_holder(path: Path) -> str:
    try:
        text = path.read_text(encoding='utf-8', errors='replace')
    except OSError:
        return ''
    return ' '.join(text.split())[:300]
