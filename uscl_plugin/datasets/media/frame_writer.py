"""Pure helpers that turn decoded frames into the stored ones."""

from pathlib import Path

import cv2
import numpy as np

# A frame counts as coloured if more than 1 % of its pixels have channels further apart than 32 grey levels. Tinted
# grey maps of the POCUS clips stay below 32, the logo of one covers 0.45 %; a Doppler box is far above both.
COLOR_SPREAD = 32
COLOR_SHARE = 0.01
PNG_COMPRESSION = 6  # zlib's own balance; lossless at any level


def is_grey(frame: np.ndarray, spread: int = COLOR_SPREAD, share: float = COLOR_SHARE) -> bool:
    """Whether a frame is grey for practical purposes; a clip is grey if all of its frames are.

    Args:
        frame: (H, W, 3), uint8.
        spread: Largest difference between a pixel's channels that is not a colour.
        share: Largest share of coloured pixels, 0 to 1.
    """
    low = np.minimum(np.minimum(frame[..., 0], frame[..., 1]), frame[..., 2])
    high = np.maximum(np.maximum(frame[..., 0], frame[..., 1]), frame[..., 2])
    return float(np.mean(high - low > spread)) <= share


def to_grey(frame: np.ndarray) -> np.ndarray:
    """Luma (ITU-R BT.601) of an RGB frame: (H, W, 3) to (H, W), uint8."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def shrink(frame: np.ndarray, size: int) -> np.ndarray:
    """Resize so that the shorter side is at most ``size``; the aspect ratio is kept, nothing is enlarged.

    Args:
        frame: (H, W) or (H, W, 3), uint8.
        size: Pixels, above 0.

    Returns:
        The frame, resized by area averaging where it was larger.
    """
    height, width = frame.shape[:2]
    shorter = min(height, width)
    if shorter <= size:
        return frame
    new_size = (max(size, round(width * size / shorter)), max(size, round(height * size / shorter)))
    return cv2.resize(frame, new_size, interpolation=cv2.INTER_AREA)


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
