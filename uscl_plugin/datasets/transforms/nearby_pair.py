"""Sample two frames of a video that are close in time, and weight the pair by its distance (IVPP)."""

import math
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from uscl.data.spg import GLOBAL


def draw_nearby(num_available: int, reach: int, rng: Any = GLOBAL) -> tuple[int, int]:
    """Draw a frame uniformly, and then another one uniformly from those within reach, itself included.

    Args:
        num_available: Number of frames F ≥ 1.
        reach: Largest distance K ≥ 0 in frames.
        rng: :class:`numpy.random.Generator`, or NumPy's global one.

    Returns:
        Two positions in [0, F), at most ``reach`` apart.
    """
    first = int(rng.choice(num_available))
    low, high = max(0, first - reach), min(num_available - 1, first + reach)
    return first, low + int(rng.choice(high - low + 1))


def pair_weight(distance: int, reach: int) -> float:
    """``(K - |i - j| + 1) / (K + 1)``: 1 for the same frame twice, 1/(K + 1) at the end of the reach K."""
    return (reach - distance + 1) / (reach + 1)


@TRANSFORMS.register_module()
class SampleNearbyPair(BaseTransform):
    """Draw two frames at most ``delta_t`` seconds apart: the pair of IVPP (VanBerlo et al., 2024).

    It takes the place of :class:`SampleVideoFrames`; :class:`MixFrames` then passes the two frames on unmixed.

    **Required Keys:**

    - frames (list): the frames' sources in time order; only the length is used
    - fps (float, optional): their rate, as a ``VideoClusterDataset`` gives it

    **Added Keys:**

    - frame_inds (np.ndarray): (2,) int64, positions in ``frames``; the second may be earlier than the first, or equal
    - pair_weight (float): see :func:`pair_weight`; in (0, 1]

    Args:
        delta_t: Largest distance in seconds, at least 0.
        weighted: False gives all pairs the weight 1.
        fps: Rate of videos that state none.

    Raises:
        ValueError: A setting is out of range, or the rate of a video is unknown.
    """

    def __init__(self, delta_t: float, weighted: bool = True, fps: float | None = None) -> None:
        if not 0 <= delta_t < math.inf:
            raise ValueError(f'delta_t should be in seconds, at least 0, got {delta_t}.')
        if fps is not None and not 0 < fps < math.inf:
            raise ValueError(f'fps should be above 0, got {fps}.')
        self.delta_t = delta_t
        self.weighted = weighted
        self.fps = fps

    def transform(self, results: dict) -> dict:
        """Add ``frame_inds`` and ``pair_weight``; see the class."""
        num_available = len(results['frames'])
        rate = results.get('fps') or self.fps
        if rate is None and num_available > 1:
            raise ValueError(
                f'video {results.get("video_id", "(no id)")!r} has no frame rate, so delta_t cannot be counted in '
                f'frames: set fps in its annotation, or of SampleNearbyPair.'
            )
        reach = math.floor(self.delta_t * (rate or 1.0) + 1e-9)  # 0.29 s at 100 per second are 29 frames
        first, second = draw_nearby(num_available, reach)
        results['frame_inds'] = np.array([first, second])
        results['pair_weight'] = pair_weight(abs(first - second), reach) if self.weighted else 1.0
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(delta_t={self.delta_t}, weighted={self.weighted}, fps={self.fps})'
