"""Errors that stop a command: an unusable video, a wrong source, an output folder in use."""

from pathlib import Path


class ClipError(Exception):
    """One video cannot be used; the others are unaffected.

    Args:
        path: The clip or frame folder.
        reason: What is wrong with it and, where useful, how to fix it.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)  # both arguments, so that it can be unpickled from a worker
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}'


class SourceError(Exception):
    """The source, its index or the given options are wrong, so nothing can be converted.

    Args:
        message: What is wrong and how to fix it, on one line.
        exit_code: Exit status for the tool: 2 for a wrong request, 1 if nothing could be read.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class FolderInUseError(OSError):
    """The output folder must not be written: another process does so, or a link in it leads elsewhere."""
