"""SHA-256 digests of contents."""

import hashlib
from pathlib import Path

_CHUNK = 1 << 20  # bytes


def digest(*parts: str | bytes) -> str:
    """SHA-256 of strings (as UTF-8) and bytes, concatenated, as 64 hexadecimal digits."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.encode() if isinstance(part, str) else part)
    return found.hexdigest()


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file of any size, as 64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    found = hashlib.sha256()
    with Path(path).open('rb') as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
