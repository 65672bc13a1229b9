"""From a decoded video frame to the picture that a player shows: in colour, with square pixels, upright."""

import struct
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from .frame_resize import resize_frame, square_size

# By whether rows and columns are swapped, and whether the result is then flipped left to right and upside down.
_TURNS = {
    (False, True, False): 'mirrored',
    (False, True, True): 'rotated 180°',
    (False, False, True): 'mirrored and rotated 180°',
    (True, True, False): 'rotated 90°',
    (True, False, True): 'rotated 270°',
    (True, False, False): 'mirrored and rotated 270°',
    (True, True, True): 'mirrored and rotated 90°',
}


class VideoDisplay:
    """Show the frames of a video as its container says.

    Args:
        aspect: Width of a pixel divided by its height; None or 0 if the video states none.

    Attributes:
        facts: ``turned`` and ``rescaled`` of the frames shown so far, see :attr:`uscl.clips.clip.Clip.facts`.
        stretch: Factor by which the number of pixels grows, at least 1.
    """

    def __init__(self, aspect: Fraction | None) -> None:
        self._aspect = aspect or Fraction(1)
        self._reformatter = VideoReformatter()  # one for all frames: each sets up tables and threads when first used
        self.stretch = float(max(self._aspect, 1 / self._aspect))
        self.facts: dict = {}

    def show(self, frame: av.VideoFrame) -> np.ndarray:
        """An RGB array (H, W, 3), uint8."""
        picture = self._to_rgb(frame)
        size = square_size(picture.shape[:2], self._aspect)
        if size != picture.shape[:2]:
            self.facts['rescaled'] = [f'pixel aspect {self._aspect.numerator}:{self._aspect.denominator}']
            picture = resize_frame(picture, size)
        matrix: Any = frame.side_data.get('DISPLAYMATRIX')
        return picture if matrix is None else np.ascontiguousarray(self._turn(picture, bytes(matrix)))

    def _turn(self, picture: np.ndarray, matrix: bytes) -> np.ndarray:
        """Apply a display matrix, nine int32, to the nearest quarter turn: x' = a x + c y, y' = b x + d y."""
        a, b, _, c, d, *_ = struct.unpack('=9i', matrix)
        swaps = abs(b) > abs(a)
        x, y = (c, b) if swaps else (a, d)
        turn = swaps, x < 0, y < 0
        if any(turn):
            self.facts['turned'] = _TURNS[turn]
        picture = picture.swapaxes(0, 1) if swaps else picture
        return picture[:: -1 if y < 0 else 1, :: -1 if x < 0 else 1]

    def _to_rgb(self, frame: av.VideoFrame) -> np.ndarray:
        if not any(component.is_alpha for component in frame.format.components):
            return self._reformatter.reformat(frame, format='rgb24').to_ndarray()
        # Transparent parts of a GIF are white underneath.
        rgba = self._reformatter.reformat(frame, format='rgba').to_ndarray().astype(np.uint16)
        return (rgba[..., :3] * rgba[..., 3:] // 255).astype(np.uint8)
