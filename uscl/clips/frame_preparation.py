"""From a decoded frame to the one that is stored or classified: grey or colour, and resized."""

from collections.abc import Iterable

import cv2
import numpy as np

from .frame_limits import MOST_BYTES

# A frame is coloured if the channels differ by more than 32 grey levels in more than 1 % of its pixels. In the POCUS
# clips, tinted grey maps stay below 32, and the logo of one covers 0.45 %; a Doppler box is far above both.
COLOR_SPREAD = 32
COLOR_SHARE = 0.01


def prepare_clip(frames: Iterable[np.ndarray], size: int, color: str = 'auto') -> list[np.ndarray]:
    """Prepare the frames of a clip as the converters store them: all grey or all in colour, and shrunk.

    Args:
        frames: (H, W, 3) each, uint8, RGB. They are read one at a time, and a second time if a coloured one comes up.
        size: Largest shorter side in pixels, above 0.
        color: 'gray', 'color', or 'auto': gray if :func:`is_grey` holds for every frame.

    Returns:
        (h, w) each if grey, else (h, w, 3).

    Raises:
        ValueError: The result takes more than :data:`~uscl.clips.frame_limits.MOST_BYTES`.
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
                raise ValueError(f'its frames take more than {MOST_BYTES} bytes: cut it, or lower the fps')
        else:
            break
    return prepared


def prepare_frame(frame: np.ndarray, size: int, grey: bool) -> np.ndarray:
    """A frame (H, W, 3) as it is stored: in grey, (h, w), or colour, (h, w, 3), and shrunk; see :func:`shrink`."""
    return shrink(to_grey(frame) if grey else frame, size)


def is_grey(frame: np.ndarray) -> bool:
    """Whether a frame is grey for practical purposes; a clip is grey if all of its frames are.

    Args:
        frame: (H, W, 3), uint8.
    """
    red, green, blue = cv2.split(frame)
    spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    return np.count_nonzero(spread > COLOR_SPREAD) <= COLOR_SHARE * spread.size


def to_grey(frame: np.ndarray) -> np.ndarray:
    """Luma (ITU-R BT.601) of an RGB frame: (H, W, 3) to (H, W), uint8."""
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def shrink(frame: np.ndarray, size: int) -> np.ndarray:
    """Resize so that the shorter side is at most ``size``; the aspect ratio is kept and nothing is enlarged.

    Args:
        frame: (H, W) or (H, W, 3), uint8.
        size: Pixels, above 0.

    Returns:
        The frame, resized by area averaging if it was larger.
    """
    height, width = frame.shape[:2]
    shorter = min(height, width)
    if shorter <= size:
        return frame
    new_size = (max(size, round(width * size / shorter)), max(size, round(height * size / shorter)))
    return cv2.resize(frame, new_size, interpolation=cv2.INTER_AREA)
