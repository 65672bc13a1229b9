"""Resize an image without aliasing."""

from collections.abc import Sequence

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from uscl.clips.frame_resize import resize_frame


def side_lengths(scale: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of a view.

    Raises:
        ValueError: The scale is neither one side nor two.
    """
    size = (scale, scale) if isinstance(scale, int) else tuple(scale)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f'scale should be a side in pixels or (height, width), got {scale!r}.')
    return size[0], size[1]


@TRANSFORMS.register_module()
class AntialiasedResize(BaseTransform):
    """Resize the whole image with Pillow's bilinear filter; the aspect ratio is not kept.

    Corresponds to mmcv's ``Resize``, which samples single pixels when shrinking. For images without boxes or masks. See
    :func:`~uscl.clips.frame_resize.resize_frame`.

    **Required Keys:**

    - img (np.ndarray): (H, W) or (H, W, C), uint8 or float

    **Modified Keys:**

    - img (np.ndarray): resized to ``scale``
    - img_shape (tuple[int, int]): its height and width

    Args:
        scale: Side in pixels, or (height, width).
    """

    def __init__(self, scale: int | Sequence[int]) -> None:
        self.scale = side_lengths(scale)

    def transform(self, results: dict) -> dict:
        """Replace ``img``; see the class."""
        results['img'] = resize_frame(results['img'], self.scale)
        results['img_shape'] = self.scale
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(scale={self.scale})'
