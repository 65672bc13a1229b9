"""What a command cannot go on with: one video, the source as a whole, an output folder that is taken."""

from pathlib import Path


class ClipError(Exception):
    """One video cannot be used; the others can.

    Args:
        path: The clip or folder of frames.
        reason: What is wrong with it and, where it helps, what to do, in plain words.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)  # both, so that it survives the way back from a worker process
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}'


class SourceError(Exception):
    """The source, its index or the given options are wrong, so nothing can be converted.

    Args:
        message: What is wrong and what to do, in one line.
        exit_code: What a tool should exit with: 2 for a wrong request, 1 if nothing could be read.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class FolderInUseError(OSError):
    """Another process writes to the output folder; the message is one sentence with the remedy."""
