"""Replace ids of patients and names of files by salted hashes."""

import hashlib
import hmac
import os
import secrets
import unicodedata
from pathlib import Path, PurePosixPath

from uscl.clips.media_suffixes import READ_SUFFIXES
from uscl.core.errors import SourceError

SALT_VARIABLE = 'USCL_SALT'
_LENGTH = 16  # hexadecimal digits: 64 bits, so that a million ids collide with a chance below 1e-7
_SHORTEST = 16  # bytes; ids of patients are short numbers, which a short salt would let anybody try out


class Pseudonyms:
    """HMAC-SHA256 of ids and names, shortened; who has the salt can repeat it, nobody can turn it round.

    Args:
        salt: The key.

    >>> Pseudonyms(b'0123456789abcdef').patient('4711') == Pseudonyms(b'0123456789abcdef').patient(' 4711 ')
    True
    """

    def __init__(self, salt: bytes) -> None:
        self._salt = salt

    def patient(self, patient_id: str) -> str:
        """``p-`` and 16 hexadecimal digits; the same for the same id and salt."""
        # One character may be written as one code point or as two; DICOM pads with spaces.
        return f'p-{self._digest("patient", unicodedata.normalize("NFC", patient_id).strip())}'

    def video(self, video_id: str) -> str:
        """``v-``, 16 hexadecimal digits, and the suffix if files are read by it."""
        suffix = PurePosixPath(video_id).suffix.lower()
        return f'v-{self._digest("video", video_id)}{suffix if suffix in READ_SUFFIXES else ""}'

    def _digest(self, kind: str, text: str) -> str:
        message = f'{kind}\0{text}'.encode()
        return hmac.new(self._salt, message, hashlib.sha256).hexdigest()[:_LENGTH]


def read_salt(file: str | Path | None, out: str | Path, dry_run: bool = False) -> tuple[bytes, str | None]:
    """The salt from a file, else from the environment; a file that does not exist is made.

    Args:
        file: The salt file; None takes the variable ``USCL_SALT``.
        out: The dataset folder, in which the salt must not lie.
        dry_run: Take a salt for this once in place of making a file.

    Returns:
        The salt, and something to tell the user.

    Raises:
        SourceError: None is given, it is empty or short, or the file cannot be used. The salt is never quoted.
    """
    if file is None:
        if SALT_VARIABLE not in os.environ:
            raise SourceError(
                f'hashing needs a salt: give --salt-file FILE (made if it does not exist), or set {SALT_VARIABLE}.'
            )
        return _check_salt(os.environ[SALT_VARIABLE].encode(), SALT_VARIABLE), None
    path = Path(file)
    if path.resolve().is_relative_to(Path(out).resolve()):
        raise SourceError(
            f'--salt-file {path} lies in the dataset folder, with which it would be given away: keep it elsewhere.'
        )
    try:
        if not path.exists() and dry_run:
            return secrets.token_bytes(32), None
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, 'w') as stream:
                stream.write(secrets.token_hex(32) + '\n')
            made = f'made the salt file {path}: keep it for the same ids next time, and give it to nobody.'
            return _check_salt(path.read_bytes(), path), made
        note: str | None = None
        if os.name == 'posix' and path.stat().st_mode & 0o077:
            note = f'other users can read the salt file {path}: chmod 600 it.'
        return _check_salt(path.read_bytes(), path), note
    except OSError as error:
        raise SourceError(f'--salt-file {path} cannot be used ({error.strerror}): give another file.') from error


def _check_salt(salt: bytes, origin: str | Path) -> bytes:
    salt = salt.strip()
    if len(salt) < _SHORTEST:
        what = 'is empty' if not salt else f'has {len(salt)} bytes'
        raise SourceError(
            f'the salt in {origin} {what}: take at least {_SHORTEST} random ones, or name a file that does not exist '
            f'and it will be made.'
        )
    return salt
