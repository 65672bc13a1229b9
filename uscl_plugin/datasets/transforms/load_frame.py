"""Load one frame, from the frame store of its dataset or from an image file."""

from mmengine.registry import TRANSFORMS

from .frames import LoadVideoFrames


@TRANSFORMS.register_module()
class LoadFrame(LoadVideoFrames):
    """Counterpart of ``LoadImageFromFile`` for the frames of a ``VideoFrameDataset``.

    **Required Keys:**

    - img_path (str): the image file
    - img (np.ndarray, optional): the stored frame, (H, W) or (H, W, 3) uint8; if present, no file is read
    - video_id (str, optional): for messages

    **Added Keys:**

    - img (np.ndarray): (H, W, 3) uint8, BGR
    - img_shape, ori_shape (tuple[int, int]): its height and width

    Args:
        color_type: See :class:`LoadVideoFrames`.

    Raises:
        FileNotFoundError: The file no longer exists.
        ValueError: The file is not a readable image.
    """

    def transform(self, results: dict) -> dict:
        """Add ``img`` and its size; see the class."""
        source = results['img_path'] if results.get('img') is None else results['img']
        one = {'frames': [source], 'frame_inds': [0], 'video_id': results.get('video_id', '(no id)')}
        (img,) = super().transform(one)['imgs']
        results['img'] = img if img.flags.writeable else img.copy()  # colour frames from the store are read-only
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results
