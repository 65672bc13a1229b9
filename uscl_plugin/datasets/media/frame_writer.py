"""The image files of stored frames."""

from pathlib import Path

import cv2
import numpy as np

PNG_COMPRESSION = 6  # zlib's own balance; lossless at any level


def frame_name(index: int) -> str:
    """File name of a stored frame, in an order that plain sorting keeps.

    >>> frame_name(12)
    '000012.png'
    """
    return f'{index:06d}.png'


def write_png(path: str | Path, frame: np.ndarray) -> None:
    """Write a frame without loss; the same frame always gives the same bytes.

    Args:
        path: The file.
        frame: (H, W) grey or (H, W, 3) RGB, uint8.
    """
    image = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    # Encoded in memory because cv2.imwrite() fails silently on paths outside the system's code page.
    _, encoded = cv2.imencode('.png', image, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
    Path(path).write_bytes(encoded.tobytes())
