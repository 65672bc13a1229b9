"""The draws and formulas of sample pair generation (SPG): three frames of a video become a positive pair (Sec. 3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Both generators have `choice` and `beta`: a Generator, or NumPy's global one, which mmcv's transforms use.
GLOBAL: Any = np.random


def draw_frames(num_available: int, num_frames: int = 3, rng: Any = GLOBAL) -> np.ndarray:
    """Draw distinct frames of a video, uniformly, in time order.

    Args:
        num_available: Number of frames in the video, at least 1.
        num_frames: Number of frames to draw; if the video has fewer, all of them.
        rng: :class:`numpy.random.Generator`.

    Returns:
        (min(num_frames, num_available),) int64, strictly increasing.
    """
    drawn = rng.choice(num_available, size=min(num_frames, num_available), replace=False)
    return np.sort(drawn).astype(np.int64)


def draw_spaced_frames(num_available: int, rng: Any = GLOBAL) -> np.ndarray:
    """Draw three frames by their distances, as Meta-USCL does: every pair of distances is as likely, not every triple.

    Two distances d1 < d2 from {1 … min(n - 1, 999)}, then the first frame from {0 … n - 1 - d2}.

    Args:
        num_available: Number of frames in the video n, at least 1.
        rng: See :func:`draw_frames`.

    Returns:
        (min(3, n),) int64, strictly increasing; all frames if there are fewer than three.
    """
    if num_available < 3:
        return np.arange(num_available)
    distances = 1 + draw_frames(min(num_available - 1, 999), 2, rng)
    first = rng.choice(num_available - distances[1])
    return np.array([first, *(first + distances)], dtype=np.int64)


def draw_ratios(alpha: float = 0.5, beta: float = 0.5, shared: bool = False, rng: Any = GLOBAL) -> tuple[float, float]:
    """Draw the mixing ratios ξ1, ξ2 ~ Beta(alpha, beta).

    Args:
        alpha: First parameter of the Beta distribution, > 0.
        beta: Its second parameter, > 0.
        shared: ``False`` draws them independently (paper), ``True`` uses one ratio for both (released code).
        rng: See :func:`draw_frames`.
    """
    first = rng.beta(alpha, beta)
    second = first if shared else rng.beta(alpha, beta)
    return float(first), float(second)


def mix(perturbation: np.ndarray, anchor: np.ndarray, ratio: float) -> np.ndarray:
    """Interpolate between two frames, ``ratio * perturbation + (1 - ratio) * anchor`` (Sec. 3 of the paper).

    Args:
        perturbation: (H, W, C), any real dtype; the first or third frame.
        anchor: (H, W, C); the middle frame.
        ratio: ξ in [0, 1].

    Returns:
        (H, W, C) float32 in the range of the inputs.
    """
    ratio32 = np.float32(ratio)
    return ratio32 * perturbation.astype(np.float32) + (np.float32(1) - ratio32) * anchor.astype(np.float32)


def positive_pair(frames: Sequence[np.ndarray], ratios: Sequence[float] = ()) -> list[np.ndarray]:
    """The two views of a video: its first and third frame, each mixed into the second, the anchor.

    ``[ξ1·x1 + (1-ξ1)·x2,  ξ2·x3 + (1-ξ2)·x2]``. Two frames form the pair unchanged, and a single frame is used twice
    (as in the released code).

    Args:
        frames: One to three frames in time order, each (H, W, C), all of one size.
        ratios: (ξ1, ξ2) for three frames.

    Returns:
        Two arrays (H, W, C), float32 if mixed.
    """
    if len(frames) < 3:
        return [frames[0], frames[-1]]
    return [mix(frames[0], frames[1], ratios[0]), mix(frames[2], frames[1], ratios[1])]
