"""The folder that a conversion writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uscl.core.errors import SourceError
from uscl.core.folder_lock import lock_folder


@contextmanager
def output_folder(out: str | Path) -> Iterator[None]:
    """Keep other processes out of the folder while a conversion writes there, and say what to do where it cannot.

    Raises:
        FolderInUseError: Another process writes to it.
        SourceError: In place of any OSError.
    """
    with lock_folder(out, 'converting'):
        try:
            yield
        except BrokenPipeError:  # of standard output
            raise
        except OSError as error:
            raise SourceError(
                f'cannot write to {out} ({error}): free some space there or give another --out.'
            ) from error
