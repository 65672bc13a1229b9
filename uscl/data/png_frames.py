"""Image files of a video: folder names, file names and format."""

import hashlib
import re
from pathlib import Path

import cv2
import numpy as np

_NAME_LENGTH = 80  # plus 9 characters: well below the usual limit of 255 bytes
PNG_COMPRESSION = 6  # zlib's own balance; lossless at any level


def store_name(video_id: str) -> str:
    """Folder name for a video: readable, safe on every file system, and different for different ids.

    >>> store_name('covid/clip 1.mp4')
    'covid__clip_1.mp4-afe0041c'
    """
    readable = re.sub(r'[^A-Za-z0-9._-]', '_', video_id.replace('/', '__')).lstrip('.-')[:_NAME_LENGTH]
    return f'{readable or "video"}-{hashlib.sha256(video_id.encode()).hexdigest()[:8]}'


def write_png(path: str | Path, frame: np.ndarray) -> None:
    """Write a frame losslessly; the same frame always gives the same bytes.

    Args:
        path: The file.
        frame: (H, W) grey or (H, W, 3) RGB, uint8.
    """
    image = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    Path(path).unlink(missing_ok=True)  # a link, whose target would be overwritten
    # Encoded in memory because cv2.imwrite() fails silently on paths outside the system's code page.
    _, encoded = cv2.imencode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
    Path(path).write_bytes(encoded.tobytes())
