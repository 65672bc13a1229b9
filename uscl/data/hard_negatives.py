"""The draws of UCL: an anchor, a near frame as its positive, and distant frames of the same video as its negatives."""

import math
from typing import Any

import numpy as np

from .spg import GLOBAL

_STAGES = 60  # epochs of the authors' run, to which the length of any run is scaled


def negative_range(progress: float) -> tuple[float, float]:
    """The curriculum: how far from the anchor negatives lie.

    ``(0.2, 0.4)`` in the first half of the run, then stage by stage of 60, shrunk by ``½ (1 + cos(π (e - 30) / 30))``.

    Args:
        progress: Completed fraction of the run, in [0, 1).

    Returns:
        Smallest and largest distance as fractions of the video's length, before the limits of :func:`negative_frames`.
    """
    stage = int(_STAGES * progress + 1e-9)
    shrinkage = math.prod(math.cos(math.pi * e / 60) ** 2 for e in range(1, stage - 29))
    return 0.2 * shrinkage, 0.4 * shrinkage


def negative_frames(num_available: int, anchor: int, progress: float) -> list[int]:
    """The frames that are far enough from an anchor to be its negatives, but not further than the curriculum says.

    At least five frames before or four after the anchor, however far the curriculum has shrunk.

    Args:
        num_available: Number of frames in the video.
        anchor: Index of the anchor.
        progress: See :func:`negative_range`.

    Returns:
        Indices in time order; none if the video is too short.
    """
    # Rounded, since 0.1 · 30 may be a little more than 3.
    near, far = (round(part * num_available, 9) for part in negative_range(progress))
    before = range(max(0, anchor - max(math.floor(far), 6)), max(0, anchor - max(math.floor(near), 4)))
    after = range(anchor + max(math.floor(near), 4), min(num_available, anchor + max(math.ceil(far), 6)))
    return [*before, *after]


def draw_hard_negatives(num_available: int, progress: float, num_negatives: int = 3, rng: Any = GLOBAL) -> np.ndarray:
    """Draw an anchor, its positive, and negatives with replacement.

    The anchor is in {⌈0.2 n⌉ … ⌈0.5 n⌉ - 1}, the positive at most three frames from it. In videos of fewer frames than
    that needs, the anchor is any frame; a single frame is its own positive; and where :func:`negative_frames` is empty
    (always up to 6 frames, never from 8), the anchor stands for the negatives, which tells the loss to leave them out.

    Args:
        num_available: Number of frames in the video n, at least 1.
        progress: See :func:`negative_range`.
        num_negatives: Number of negatives.
        rng: See :func:`~uscl.data.spg.draw_frames`.

    Returns:
        (2 + num_negatives,) int64, in this order.
    """
    central = range(-(-num_available // 5), -(-num_available // 2)) or range(num_available)
    anchor = int(rng.choice(central))
    close = [k for k in range(anchor - 3, anchor + 4) if 0 <= k < num_available and k != anchor]
    positive = int(rng.choice(close or [anchor]))
    far = negative_frames(num_available, anchor, progress) or [anchor]
    return np.array([anchor, positive, *rng.choice(far, size=num_negatives)], dtype=np.int64)
