"""Atomic file writing for MMEngine's ``backend_args``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, register_backend

from uscl.core.atomic_files import write_atomically, write_remedy


@register_backend('atomic')
class AtomicLocalBackend(LocalBackend):
    """Local files, written under a temporary name, flushed to disk, then renamed.

    MMEngine's own backend opens the final name and writes into it: if the process is killed or the disk is full, a
    broken checkpoint replaces a good one. For checkpoints: ``default_hooks=dict(checkpoint=dict(type='CheckpointHook',
    backend_args=dict(backend='atomic')))``.

    Raises:
        OSError: Nothing could be written, for example on a full disk; the existing file is unchanged.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes; see :class:`mmengine.fileio.LocalBackend`."""
        self._write(filepath, lambda temporary: temporary.write_bytes(obj))

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text; see :class:`mmengine.fileio.LocalBackend`."""
        self._write(filepath, lambda temporary: temporary.write_text(obj, encoding=encoding))

    def _write(self, filepath: str | Path, write: Callable[[Path], Any]) -> None:
        try:
            write_atomically(filepath, write)
        except OSError as error:
            raise OSError(
                error.errno,
                f'{error.strerror}: nothing was written and earlier files are intact; {write_remedy(error)}, then '
                f'start the run again with --resume',
                str(filepath),
            ) from error
