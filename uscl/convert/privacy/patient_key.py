"""Recognise a patient in two data folders by hashes under a key of the user, without storing ids in checkpoints."""

import os
import unicodedata
from pathlib import Path

from .pseudonyms import Pseudonyms, make_secret, read_secret

_LETTERS = 'LMN'  # Unicode's letters, marks and numbers; all other characters only separate


def normalised(patient_id: str) -> str:
    """A patient id without what people write differently: case, width, spaces and punctuation.

    >>> normalised(' Pat-01_a') == normalised('PAT 01A'), normalised('--')
    (True, '--')
    """
    text = unicodedata.normalize('NFKC', unicodedata.normalize('NFKC', patient_id).casefold())
    return ''.join(letter for letter in text if unicodedata.category(letter)[0] in _LETTERS) or text


def key_file() -> Path:
    """Where the user's key is: ``uscl/patients.key`` in ``XDG_CONFIG_HOME``, by default ``~/.config``."""
    return Path(os.environ.get('XDG_CONFIG_HOME') or '~/.config').expanduser() / 'uscl' / 'patients.key'


def read_patient_key(create: bool = False) -> Pseudonyms | None:
    """The hashes under the user's key, which is made once and can be read by the user only.

    Args:
        create: Make a key if there is none.

    Returns:
        None if there is no key.

    Raises:
        OSError: The key cannot be read or written.
        SourceError: It is too short to be a key.
        RuntimeError: The user has no home folder.
    """
    path = key_file()
    if create:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_secret(path)
    return Pseudonyms(read_secret(path)) if path.is_file() else None
