"""Find the pixels of a video that never move: burned-in text, scales, logos, the background."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from uscl.core.errors import ClipError
from uscl.core.plurals import counted

# Grey levels. Text burned into POCUS clips and compressed (H.264 at CRF 23 and 30, Motion JPEG) is found completely on
# black (median), and 3 % of the tissue is lost: docs/privacy.md.
TOLERANCE = 8
_SMALLEST = 6  # connected pixels; fewer are chance, since the stroke of a letter has more
_MARGIN = 2  # pixels; compression leaves a flickering rim around text, which could still be read
_FEWEST_FRAMES = 3
_ENOUGH_FRAMES = 10
_LARGEST_SHARE = 0.95  # of the picture; above it, the whole video counts as still
_RED = (255, 0, 0)
_REMEDY = 'convert it without --mask-static if it shows no text'


@dataclass(frozen=True)
class StaticMask:
    """What never moves in a video.

    Attributes:
        pixels: (H, W), bool; true where to blank.
        frame: One of the frames, (H, W, 3), uint8.
    """

    pixels: np.ndarray
    frame: np.ndarray

    @property
    def share(self) -> float:
        """Share of the picture that is blanked, 0 to 1."""
        return float(self.pixels.mean())

    def blank(self, frame: np.ndarray) -> np.ndarray:
        """A copy of a frame (H, W, 3) with the static pixels black."""
        frame = frame.copy()
        frame[self.pixels] = 0
        return frame

    def draw(self) -> np.ndarray:
        """A picture of what is blanked, (H, W, 3), uint8: one frame, and a red mosaic where it is blanked.

        The mosaic shows tissue and background, but its blocks are too coarse to read text. The mean of the frames would
        show text that the mask has missed more clearly than any single frame.
        """
        height, width = self.pixels.shape
        block = max(16, min(height, width) // 16)
        coarse = (max(width // block, 1), max(height // block, 1))
        small = cv2.resize(self.frame, coarse, interpolation=cv2.INTER_AREA)
        mosaic = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
        tinted = (mosaic // 2 + np.array(_RED, np.uint8) // 2).astype(np.uint8)
        return np.where(self.pixels[..., None], tinted, self.frame)


def find_static(
    path: Path, frames: Iterable[np.ndarray], tolerance: int = TOLERANCE, all_frames: Iterable[np.ndarray] = ()
) -> StaticMask:
    """Find the static pixels of a video, of which one frame at a time is held.

    Args:
        path: The video, for messages.
        frames: (H, W, 3) each, uint8.
        tolerance: Grey levels by which the values of a static pixel may differ (compression noise).
        all_frames: Used instead of ``frames`` if these are fewer than 10, in which tissue is often the same by chance.

    Raises:
        ClipError: There are too few frames, they differ in size, or hardly anything moves, so that text and tissue
            cannot be distinguished.
    """
    seen = _observe(path, frames)
    if seen.count < _ENOUGH_FRAMES:
        more = _observe(path, all_frames)
        seen = more if more.count > seen.count else seen
    if seen.count < _FEWEST_FRAMES:
        raise ClipError(path, f'{counted(seen.count, "frame")}, too few for --mask-static: {_REMEDY}')
    pixels = static_pixels(seen.low, seen.high, tolerance)
    if pixels.mean() > _LARGEST_SHARE:
        raise ClipError(path, f'{100 * pixels.mean():.1f} % never moves, too much for --mask-static: {_REMEDY}')
    return StaticMask(pixels, seen.last)


@dataclass
class _Seen:
    low: np.ndarray
    high: np.ndarray
    last: np.ndarray
    count: int = 0


def _observe(path: Path, frames: Iterable[np.ndarray]) -> _Seen:
    seen = _Seen(np.empty(0), np.empty(0), np.empty(0))
    for frame in frames:
        if seen.count == 0:
            seen = _Seen(frame.copy(), frame.copy(), frame)
        elif frame.shape != seen.low.shape:
            raise ClipError(path, 'its frames differ in size, so --mask-static does not work: leave it out')
        np.minimum(seen.low, frame, out=seen.low)
        np.maximum(seen.high, frame, out=seen.high)
        seen.last = frame
        seen.count += 1
    return seen


def static_pixels(low: np.ndarray, high: np.ndarray, tolerance: int) -> np.ndarray:
    """Where no channel varies by more than ``tolerance``, without specks, and with a margin.

    Args:
        low: Lowest value of every pixel over time, (H, W, 3), uint8.
        high: Highest value, likewise.
        tolerance: Grey levels.

    Returns:
        (H, W), bool.
    """
    still = (high - low).max(axis=2) <= tolerance
    _, labels, stats, _ = cv2.connectedComponentsWithStats(still.astype(np.uint8), connectivity=8)
    is_large = stats[:, cv2.CC_STAT_AREA] >= _SMALLEST
    is_large[0] = False  # what moves
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _MARGIN + 1, 2 * _MARGIN + 1))
    return cv2.dilate(is_large[labels].astype(np.uint8), disc).astype(bool)
