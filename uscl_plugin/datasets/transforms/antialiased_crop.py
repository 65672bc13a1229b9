"""Crop an image at random and resize the crop, as in the released code, but in one step and without aliasing."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from uscl.clips.frame_resize import resize_frame, window_box

from .antialiased_resize import side_lengths


class CropWindow:
    """Draw crops on the image as squashed to the view's size, which is what the released code crops from.

    On the original frame, ranges such as the area of 0.8 to 1 with an aspect ratio of 0.8 to 1.25 do not fit a 16:9
    frame at all: every draw would fall back to one fixed centre crop.

    Args:
        scale: Height and width of the view.
        crop_ratio_range: Range of the window's fraction of the area.
        aspect_ratio_range: Range of the window's width over its height, on the squashed image.
    """

    def __init__(
        self, scale: tuple[int, int], crop_ratio_range: Sequence[float], aspect_ratio_range: Sequence[float]
    ) -> None:
        from mmpretrain.datasets.transforms import RandomResizedCrop  # not needed by other transforms

        self._crop = RandomResizedCrop(scale, tuple(crop_ratio_range), tuple(aspect_ratio_range))
        self._grid = np.broadcast_to(np.uint8(0), scale)

    def draw(self) -> tuple[int, int, int, int]:
        """Top, left, height and width on the grid of the view, in whole pixels."""
        return self._crop.rand_crop_params(self._grid)

    def __repr__(self) -> str:
        return repr(self._crop)


@TRANSFORMS.register_module()
class AntialiasedRandomResizedCrop(BaseTransform):
    """Crop at random and resize the crop with Pillow's bilinear filter; the aspect ratio is not kept.

    The window is drawn as MMPretrain's ``RandomResizedCrop`` would draw it on the image squashed to ``scale``
    (:class:`CropWindow`), but sampled from the original image, in one step. Without a crop this equals
    :class:`AntialiasedResize`; with one, it resizes once where the released code resizes twice.

    **Required Keys:**

    - img (np.ndarray): (H, W) or (H, W, C), uint8 or float

    **Modified Keys:**

    - img (np.ndarray): resized to ``scale``
    - img_shape (tuple[int, int]): its height and width

    Args:
        scale: Side in pixels, or (height, width).
        crop_ratio_range: Range of the window's fraction of the area.
        aspect_ratio_range: Range of the window's width over its height, on the image squashed to ``scale``.
    """

    def __init__(
        self,
        scale: int | Sequence[int],
        crop_ratio_range: Sequence[float] = (0.8, 1.0),
        aspect_ratio_range: Sequence[float] = (0.8, 1.25),
    ) -> None:
        self.scale = side_lengths(scale)
        self.window = CropWindow(self.scale, crop_ratio_range, aspect_ratio_range)

    def transform(self, results: dict) -> dict:
        """Replace ``img``; see the class."""
        img = results['img']
        results['img'] = resize_frame(img, self.scale, window_box(self.window.draw(), self.scale, img.shape[:2]))
        results['img_shape'] = self.scale
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(scale={self.scale}, window={self.window})'
