"""A clip's signature: a few of its frames as compressed fingerprints, a text for annotations and checkpoints.

The fingerprints become thumbnails again, of which those of any crop can be computed: a copy is recognised whether it or
the original was cropped.
"""

import base64
import binascii
from collections.abc import Sequence

import numpy as np

from .fingerprints import FINE, as_thumbnails, fingerprints

FRAMES = 4  # docs/check_dataset.md has the measurements behind it
_NUMBERS = FINE * FINE - 1  # of a frame


def sign_clip(thumbnails: Sequence[np.ndarray] | np.ndarray) -> str:
    """The signature of a clip.

    Args:
        thumbnails: Of all frames in time order, see :func:`~uscl.data.fingerprints.thumbnail`.

    Returns:
        Base64 of (n, FINE² - 1) int8, at most :data:`FRAMES` rows, evenly spaced, without blank frames.
    """
    chosen = np.unique(np.linspace(0, len(thumbnails) - 1, FRAMES).round().astype(int))
    prints = fingerprints(np.stack([thumbnails[k] for k in chosen]))
    prints = prints[prints.any(axis=1)]
    levels = (prints * (127 / np.abs(prints).max(axis=1, keepdims=True))).round().astype(np.int8)
    return base64.b64encode(levels.tobytes()).decode()


def read_signature(signature: str) -> np.ndarray:
    """Thumbnails of the frames in a signature, see :func:`~uscl.data.fingerprints.as_thumbnails`.

    Raises:
        ValueError: It is no signature.
    """
    return as_thumbnails(signature_levels(signature).astype(np.float32))


def signature_levels(signature: str) -> np.ndarray:
    """The numbers in a signature: (n, FINE² - 1) int8.

    Raises:
        ValueError: It is no signature.
    """
    try:
        return np.frombuffer(base64.b64decode(signature, validate=True), np.int8).reshape(-1, _NUMBERS)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f'{signature[:16]!r} is no signature of a clip') from error
