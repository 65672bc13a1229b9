"""Sample and load the frames of one video: the first two steps of USCL's sample pair generation (SPG)."""

import os

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import get
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SampleVideoFrames(BaseTransform):
    """Draw distinct frames of a video, uniformly, and put them in time order (Sec. 3 of the paper).

    **Required Keys:**

    - frames (list): the frames' sources in time order; only the length is used

    **Added Keys:**

    - frame_inds (np.ndarray): (min(num_frames, n),) int64, strictly increasing positions in ``frames``

    Args:
        num_frames: How many frames to draw. A video that has fewer gives what it has.

    Raises:
        ValueError: ``num_frames`` is below 1, or the video has no frame.
    """

    def __init__(self, num_frames: int = 3) -> None:
        if num_frames < 1:
            raise ValueError(f'num_frames should be at least 1, got {num_frames}.')
        self.num_frames = num_frames

    def _sample_params(self, num_available: int) -> np.ndarray:
        return np.random.choice(num_available, size=min(self.num_frames, num_available), replace=False)

    def transform(self, results: dict) -> dict:
        """Add ``frame_inds``; see the class."""
        num_available = len(results['frames'])
        if num_available == 0:
            raise ValueError(f'video {results.get("video_id", "(no id)")!r} has no frame to sample from.')
        results['frame_inds'] = np.sort(self._sample_params(num_available)).astype(np.int64)
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

    - imgs (list[np.ndarray]): the frames at ``frame_inds``, each (H, W, 3) uint8, BGR; with 'unchanged' (H, W, 1) where
      they are stored as grey

    Args:
        color_type: 'color' keeps colour; 'grayscale' reads grey and repeats it in the three channels; 'unchanged'
            leaves grey at one channel, and hands arrays on without a copy.

    Raises:
        FileNotFoundError: A frame is not there any more.
        ValueError: A frame is no readable image, or an array of another shape or dtype.
    """

    def __init__(self, color_type: str = 'color') -> None:
        if color_type not in ('color', 'grayscale', 'unchanged'):
            raise ValueError(f"color_type should be 'color', 'grayscale' or 'unchanged', got {color_type!r}.")
        self.color_type = color_type
        # cv2's own 'unchanged' would keep 16 bits and transparency, and ignore the orientation of a photo
        self._decoding = (
            {'flag': cv2.IMREAD_ANYCOLOR, 'backend': 'cv2'} if color_type == 'unchanged' else {'flag': color_type}
        )

    def _read(self, source: str | os.PathLike | np.ndarray, video_id: str) -> np.ndarray:
        img: np.ndarray | None
        if isinstance(source, np.ndarray):
            img = source
        else:
            try:
                content = get(source)
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f'frame {os.fspath(source)} of video {video_id!r} is missing: it was moved or deleted after the '
                    f'conversion; run the converter again, which redoes only incomplete videos.'
                ) from error
            img = mmcv.imfrombytes(content, **self._decoding) if content else None
        if img is None or img.dtype != np.uint8 or img.ndim not in (2, 3) or img.shape[2:] not in ((), (1,), (3,)):
            what = 'cannot be decoded as an image' if img is None else f'has shape {img.shape} and dtype {img.dtype}'
            name = 'given as an array' if isinstance(source, np.ndarray) else os.fspath(source)
            raise ValueError(f'frame {name} of video {video_id!r} {what}: run the converter again on this video.')
        if self.color_type == 'grayscale' and img.shape[2:] == (3,):
            img = mmcv.bgr2gray(img)
        if self.color_type == 'unchanged':
            return img.reshape(*img.shape[:2], -1)
        if img.shape[2:] != (3,):
            img = np.repeat(img.reshape(*img.shape[:2], 1), 3, axis=2)
        return img

    def transform(self, results: dict) -> dict:
        """Add ``imgs``; see the class."""
        video_id = results.get('video_id', '(no id)')
        results['imgs'] = [self._read(results['frames'][i], video_id) for i in results['frame_inds']]
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(color_type={self.color_type!r})'
