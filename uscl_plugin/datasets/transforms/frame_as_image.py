"""Pass one frame of a video on as an image, for methods that do not handle videos."""

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FrameAsImage(BaseTransform):
    """Store the single loaded frame as ``img``, so that any image pipeline can follow.

    **Required Keys:**

    - imgs (list[np.ndarray]): a single frame, (H, W, 3) uint8

    **Added Keys:**

    - img (np.ndarray): the frame
    - img_shape, ori_shape (tuple[int, int]): its height and width

    Raises:
        ValueError: There are several frames.
    """

    def transform(self, results: dict) -> dict:
        """Add ``img`` and its size; see the class."""
        imgs = results['imgs']
        if len(imgs) != 1:
            found = f'got {len(imgs)} of video {results.get("video_id", "(no id)")!r}'
            raise ValueError(
                f'FrameAsImage takes one frame, {found}: use SampleVideoFrames(num_frames=1), or MixFrames.'
            )
        results['img'] = imgs[0]
        results['img_shape'] = results['ori_shape'] = imgs[0].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}()'
