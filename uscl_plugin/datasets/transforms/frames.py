"""Sample and load the frames of one video: the first two steps of USCL's sample pair generation (SPG)."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import get
from mmengine.registry import TRANSFORMS

from uscl.data.frame_loading import COLOR_TYPES, load_frame
from uscl.data.spg import draw_frames


@TRANSFORMS.register_module()
class SampleVideoFrames(BaseTransform):
    """Draw distinct frames of a video, uniformly, and put them in time order (Sec. 3 of the paper).

    **Required Keys:**

    - frames (list): the frames' sources in time order; only the length is used

    **Added Keys:**

    - frame_inds (np.ndarray): (min(num_frames, n),) int64, strictly increasing positions in ``frames``

    Args:
        num_frames: Number of frames to draw; all of them if the video has fewer.

    Raises:
        ValueError: ``num_frames`` is below 1, or the video has no frames.
    """

    def __init__(self, num_frames: int = 3) -> None:
        if num_frames < 1:
            raise ValueError(f'num_frames should be at least 1, got {num_frames}.')
        self.num_frames = num_frames

    def _sample_params(self, num_available: int, progress: float) -> np.ndarray:
        return draw_frames(num_available, self.num_frames)

    def transform(self, results: dict) -> dict:
        """Add ``frame_inds``; see the class."""
        num_available = len(results['frames'])
        if num_available == 0:
            raise ValueError(f'video {results.get("video_id", "(no id)")!r} has no frames to sample from.')
        results['frame_inds'] = self._sample_params(num_available, results.get('progress') or 0.0)
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(num_frames={self.num_frames})'


@TRANSFORMS.register_module()
class LoadVideoFrames(BaseTransform):
    """Load the sampled frames of a video.

    **Required Keys:**

    - frames (list): each a path, or an array of shape (H, W) or (H, W, 3) and dtype uint8 (BGR, as everywhere in mmcv)
    - frame_inds (np.ndarray): positions in ``frames``

    **Added Keys:**

    - imgs (list[np.ndarray]): the frames at ``frame_inds``, each (H, W, 3) uint8, BGR; with 'unchanged' (H, W, 1) if
      stored as grey

    Args:
        color_type: 'color' keeps colour; 'grayscale' reads grey and repeats it over three channels; 'unchanged' keeps
            grey as one channel and passes arrays through without copying.

    Raises:
        FileNotFoundError: A frame no longer exists.
        ValueError: A frame is not a readable image, or an array of the wrong shape or dtype.
    """

    def __init__(self, color_type: str = 'color') -> None:
        if color_type not in COLOR_TYPES:
            raise ValueError(f'color_type should be one of {COLOR_TYPES}, got {color_type!r}.')
        self.color_type = color_type

    def transform(self, results: dict) -> dict:
        """Add ``imgs``; see the class."""
        video_id = results.get('video_id', '(no id)')
        results['imgs'] = [
            load_frame(results['frames'][i], self.color_type, video_id, read=get) for i in results['frame_inds']
        ]
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(color_type={self.color_type!r})'
