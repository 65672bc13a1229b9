"""The output folder of a conversion."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uscl.core.atomic_files import write_remedy
from uscl.core.errors import FolderInUseError, SourceError
from uscl.core.folder_lock import lock_folder


@contextmanager
def output_folder(out: str | Path) -> Iterator[None]:
    """Lock the output folder while a conversion writes to it, and turn an OSError into a message with a remedy.

    Raises:
        FolderInUseError: Another process is writing to it, or a link in it leads elsewhere.
        SourceError: The folder cannot be written.
    """
    try:
        with lock_folder(out, 'converting'):
            yield
    except (BrokenPipeError, FolderInUseError):  # the former is of standard output
        raise
    except OSError as error:
        raise SourceError(f'cannot write to {out} ({error}): {write_remedy(error)}, or give another --out.') from error
