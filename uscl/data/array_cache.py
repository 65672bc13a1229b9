"""Arrays that take long to make, kept for other runs of the same user under what they were made from."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from uscl.core.atomic_files import write_atomically
from uscl.core.digest import digest

FOLDER = 'USCL_CACHE'  # environment variable
_LIMIT = 4 << 30  # bytes
_SEAL = '__seal__'


def cache_folder() -> Path | None:
    """The folder that ``USCL_CACHE`` names, or ``uscl`` in ``XDG_CACHE_HOME``, by default ``~/.cache``.

    Returns:
        None if ``USCL_CACHE`` is empty, which turns caches off, or if the user has no home folder.
    """
    try:
        if (named := os.environ.get(FOLDER)) is not None:
            return Path(named).expanduser() if named else None
        return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'uscl'
    except RuntimeError:
        return None


class ArrayCache:
    """Named arrays in one file for each key; of too many, those that were not used for the longest time go.

    Files are whole or absent and never executed, so that any number of processes may share a folder. A file that is
    damaged, or has the name of another key, counts as absent. A folder that cannot be written keeps nothing.

    Args:
        folder: Where the files are, readable by the user only if it is new; None: nothing is kept.
        limit: Bytes that all files together may take.
    """

    def __init__(self, folder: Path | None, limit: int = _LIMIT) -> None:
        self.folder = folder
        self.limit = limit

    def get(self, key: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
        """The arrays of a key, or None.

        Args:
            key: All that they depend on, as JSON takes it.
        """
        text, path = self._place(key)
        if path is None:
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            if str(arrays.pop(_SEAL)) != _seal(text, arrays):
                return None
        except Exception:  # missing; or damaged, which raises unrelated exceptions
            return None
        with suppress(OSError):
            os.utime(path)
        return arrays

    def put(self, key: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays, none of them of objects, for :meth:`get`."""
        text, path = self._place(key)
        if path is None or sum(array.nbytes for array in arrays.values()) > self.limit:
            return

        content: dict[str, Any] = {_SEAL: np.array(_seal(text, arrays)), **arrays}

        def write(temporary: Path) -> None:
            with temporary.open('wb') as file:
                np.savez(file, **content)

        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(path, write)
            self._shrink(path.parent)

    def _place(self, key: Mapping[str, Any]) -> tuple[str, Path | None]:
        text = json.dumps(key, sort_keys=True)
        return text, None if self.folder is None else self.folder / f'{digest(text)}.npz'

    def _shrink(self, folder: Path) -> None:
        found = []
        for path in folder.iterdir():  # also what killed processes left
            with suppress(OSError):  # another process has removed it
                facts = path.stat()
                found.append((facts.st_mtime_ns, facts.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= size


def _seal(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Digest of a key and its arrays: the checksums in an archive are of single arrays, and not of their number."""
    parts = [(f'{name} {array.dtype} {array.shape}', array.tobytes()) for name, array in sorted(arrays.items())]
    return digest(text, *(part for both in parts for part in both))
