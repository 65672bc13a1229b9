"""From a decoded frame to the one that is stored or classified: grey or colour, and its size."""

from collections.abc import Iterable

import cv2
import numpy as np

from .frame_limits import MOST_BYTES

# A frame counts as coloured if more than 1 % of its pixels have channels further apart than 32 grey levels. Tinted
# grey maps of the POCUS clips stay below 32, the logo of one covers 0.45 %; a Doppler box is far above both.
COLOR_SPREAD = 32
COLOR_SHARE = 0.01


def prepare_clip(frames: Iterable[np.ndarray], size: int, color: str = 'auto') -> list[np.ndarray]:
    """What the converters store of a clip unless they are told otherwise: grey if all of its frames are, and smaller.

    Args:
        frames: (H, W, 3) each, uint8; red, green, blue. They are prepared one at a time, and not held; gone through
            once more where a coloured one comes up.
        size: Largest shorter side in pixels, above 0.
        color: 'gray', 'color', or 'auto': gray if :func:`is_grey` holds for every frame.

    Returns:
        (h, w) each if grey, else (h, w, 3).

    Raises:
        ValueError: They take more than :data:`~uscl.clips.frame_limits.MOST_BYTES`.
    """
    for grey in (True, False) if color == 'auto' else (color == 'gray',):
        prepared: list[np.ndarray] = []
        held = 0
        for frame in frames:
            if grey and color == 'auto' and not is_grey(frame):
                break
            prepared.append(prepare_frame(frame, size, grey))
            held += prepared[-1].nbytes
            if held > MOST_BYTES:
                raise ValueError(
                    f'its frames take more than the {MOST_BYTES} bytes that are held: cut it, or keep fewer a second'
                )
        else:
            break
    return prepared


def prepare_frame(frame: np.ndarray, size: int, grey: bool) -> np.ndarray:
    """One frame (H, W, 3) as it is stored: first made grey, (h, w), or left in colour, (h, w, 3); then shrunk."""
    return shrink(to_grey(frame) if grey else frame, size)


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
