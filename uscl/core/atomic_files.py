"""Write files atomically: readers see a complete file or none."""

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEMPORARY = '.{name}.{key}.tmp'


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file with :func:`write_atomically`."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding='utf-8'))


def write_atomically(path: str | Path, write: Callable[[Path], Any]) -> None:
    """Write a file under a temporary name beside it, flush it to the disk, then rename.

    Readers see either the old or the new file, complete, even after a killed process or a power failure.

    Args:
        path: The file. Its folder is created if needed.
        write: Called with the temporary path. If it raises, the temporary file is removed and ``path`` is left
            unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        write(temporary)
        _flush(temporary)  # otherwise the name may reach the disk before the content
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        if str(error.filename) == str(temporary):  # a name that nobody knows
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """A name beside a path that nobody has, nor can foresee to put a link there."""
    return path.with_name(TEMPORARY.format(name=path.name, key=secrets.token_hex(4)))


def write_remedy(error: OSError) -> str:
    """What to do about an output that cannot be written."""
    return 'free some space' if error.errno in (errno.ENOSPC, errno.EDQUOT) else 'check its rights'


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == 'nt':
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)
