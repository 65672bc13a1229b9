"""Sample an anchor, a positive and hard negatives from one video: the first step of UCL's pipeline."""

import numpy as np
from mmengine.registry import TRANSFORMS

from uscl.data.hard_negatives import draw_hard_negatives

from .frames import SampleVideoFrames


@TRANSFORMS.register_module()
class SampleHardNegatives(SampleVideoFrames):
    """Draw an anchor, a near frame as its positive, and distant frames of the same video as negatives (UCL).

    Negatives come closer during the second half of a run; see :mod:`uscl.data.hard_negatives`.

    **Required Keys:**

    - frames (list): the frames' sources in time order; only the length is used
    - progress (float, optional): completed fraction of the run, in [0, 1); 0 if missing or None

    **Added Keys:**

    - frame_inds (np.ndarray): (2 + num_negatives,) int64: anchor, positive, negatives; in a video that is too short for
      negatives, these are copies of the anchor

    Args:
        num_negatives: Number of negatives.

    Raises:
        ValueError: ``num_negatives`` is below 1, or the video has no frames.
    """

    def __init__(self, num_negatives: int = 3) -> None:
        if num_negatives < 1:
            raise ValueError(f'num_negatives should be at least 1, got {num_negatives}.')
        super().__init__(2 + num_negatives)

    def _sample_params(self, num_available: int, progress: float) -> np.ndarray:
        return draw_hard_negatives(num_available, progress, self.num_frames - 2)

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(num_negatives={self.num_frames - 2})'
