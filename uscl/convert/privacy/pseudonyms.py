"""Replace patient ids and file names by salted hashes."""

import hashlib
import hmac
import os
import re
import secrets
import unicodedata
import zlib
from itertools import pairwise
from math import log2
from pathlib import Path, PurePosixPath

from uscl.clips.media_suffixes import READ_SUFFIXES
from uscl.core.errors import SourceError

SALT_VARIABLE = 'USCL_SALT'
_LENGTH = 16  # hexadecimal digits, 64 bits: a million ids collide with a probability below 1e-7
_BITS = 128  # with an easy salt, anybody could try out all patient ids, which are short numbers
# Bits of a random symbol, by what a text consists of; words count as English.
_ALPHABETS = {
    rb'[a-z _.,-]+': 1.5,
    rb'[0-9]+': log2(10),
    rb'[0-9a-f]+|[0-9A-F]+': 4,
    rb'[\w+/=-]+': 6,
    rb'[ -~]+': log2(95),
    rb'[\x00-\xff]*': 8,
}


class Pseudonyms:
    """Shortened HMAC-SHA256 of ids and names: it can be repeated with the salt, and cannot be inverted.

    Args:
        salt: The key.

    >>> Pseudonyms(b'0123456789abcdef').patient('4711') == Pseudonyms(b'0123456789abcdef').patient(' 4711 ')
    True
    """

    def __init__(self, salt: bytes) -> None:
        self._salt = salt

    @property
    def key_id(self) -> str:
        """16 hexadecimal digits that identify the salt, so that hashes with different ones are not compared."""
        return self._digest('key', '')

    def patient(self, patient_id: str) -> str:
        """``p-`` and 16 hexadecimal digits; the same for the same id and salt."""
        # A character may be one code point or two; DICOM pads with spaces.
        return f'p-{self._digest("patient", unicodedata.normalize("NFC", patient_id).strip())}'

    def video(self, video_id: str) -> str:
        """``v-``, 16 hexadecimal digits, and the suffix if it is one of the known ones."""
        suffix = PurePosixPath(video_id).suffix.lower()
        return f'v-{self._digest("video", video_id)}{suffix if suffix in READ_SUFFIXES else ""}'

    def _digest(self, kind: str, text: str) -> str:
        message = f'{kind}\0{text}'.encode()
        return hmac.new(self._salt, message, hashlib.sha256).hexdigest()[:_LENGTH]


def read_salt(file: str | Path | None, out: str | Path, dry_run: bool = False) -> tuple[bytes, str | None]:
    """The salt from a file, which is created if it does not exist, or from the environment.

    Args:
        file: The salt file; None takes the variable ``USCL_SALT``.
        out: The data folder, which must not contain the salt.
        dry_run: Use a temporary salt instead of creating a file.

    Returns:
        The salt, and a note for the user or None.

    Raises:
        SourceError: There is no salt, it can be guessed, or the file cannot be used. The salt is never quoted.
    """
    if file is None:
        if SALT_VARIABLE not in os.environ:
            raise SourceError(f'hashing needs a salt: give --salt-file FILE (can be new), or set {SALT_VARIABLE}.')
        return _check_salt(os.environ[SALT_VARIABLE].encode(), SALT_VARIABLE), None
    path = Path(file)
    if path.resolve().is_relative_to(Path(out).resolve()):
        raise SourceError(f'--salt-file {path} is in the data folder, which may be shared: keep it elsewhere.')
    try:
        if dry_run and not path.exists():
            return secrets.token_bytes(32), None
        is_new = make_secret(path)
        return read_secret(path), _note(path, is_new)
    except OSError as error:
        raise SourceError(f'--salt-file {path} cannot be used ({error.strerror}): give another file.') from error


def make_secret(path: Path) -> bool:
    """Write a new secret that only the user can read, unless the file exists; whether it is new.

    Raises:
        OSError: The file cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, 'w') as stream:
        stream.write(secrets.token_hex(32) + '\n')
    return True


def read_secret(path: Path) -> bytes:
    """The secret in a file.

    Raises:
        OSError: The file cannot be read.
        SourceError: It is too short.
    """
    return _check_salt(path.read_bytes(), path)


def _note(path: Path, is_new: bool) -> str | None:
    if is_new:
        return f'created the salt file {path}: keep it to get the same ids again, and keep it secret.'
    if os.name == 'posix' and path.stat().st_mode & 0o077:
        return f'other users can read the salt file {path}: run chmod 600 on it.'
    return None


def _check_salt(salt: bytes, origin: str | Path) -> bytes:
    salt = salt.strip()
    if _randomness(salt) < _BITS:
        what = f'can be guessed: it is short, of words, or repeats itself, and has less than {_BITS} random bits'
        raise SourceError(f'the salt in {origin} {what}: give a new --salt-file, which will be created.')
    return salt


def _randomness(salt: bytes) -> float:
    """Bits that a salt has at most, roughly: the least of what its alphabet, its repeats and its compression allow."""
    if not salt:
        return 0
    steps = bytes((after - before) % 256 for before, after in pairwise(salt))  # sequences repeat themselves, too
    as_words = re.sub(rb'\b[A-Z]', b'a', salt)
    per_symbol = next(bits for kind, bits in _ALPHABETS.items() if re.fullmatch(kind, as_words, re.DOTALL))
    length = min(_period(salt), _period(steps) + 1)
    packed = min(len(zlib.compress(salt, 9)), len(zlib.compress(steps, 9)) + 1) - 7  # zlib's own bytes
    return min(length * per_symbol, 8 * packed)


def _period(text: bytes) -> int:
    return next((n for n in range(1, len(text) // 2 + 1) if text[n:] == text[:-n]), len(text))
