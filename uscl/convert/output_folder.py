"""The output folder of a conversion."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uscl.core.errors import SourceError
from uscl.core.folder_lock import lock_folder


@contextmanager
def output_folder(out: str | Path) -> Iterator[None]:
    """Lock the output folder while a conversion writes to it, and turn an OSError into a message with a remedy.

    Raises:
        FolderInUseError: Another process is writing to it.
        SourceError: The folder cannot be written.
    """
    with lock_folder(out, 'converting'):
        try:
            yield
        except BrokenPipeError:  # of standard output
            raise
        except OSError as error:
            raise SourceError(f'cannot write to {out} ({error}): free some space, or give another --out.') from error
