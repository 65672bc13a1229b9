"""Sample three frames of a video by their distances: the first step of Meta-USCL's pipeline."""

import numpy as np
from mmengine.registry import TRANSFORMS

from uscl.data.spg import draw_spaced_frames

from .frames import SampleVideoFrames


@TRANSFORMS.register_module()
class SampleSpacedFrames(SampleVideoFrames):
    """Draw three frames of a video in time order, as Meta-USCL does; see :func:`uscl.data.spg.draw_spaced_frames`.

    **Required Keys:**

    - frames (list): the frames' sources in time order; only the length is used

    **Added Keys:**

    - frame_inds (np.ndarray): (min(3, n),) int64, strictly increasing positions in ``frames``

    Raises:
        ValueError: The video has no frames.
    """

    def __init__(self) -> None:
        super().__init__(num_frames=3)

    def _sample_params(self, num_available: int, progress: float) -> np.ndarray:
        return draw_spaced_frames(num_available)
