"""Crop an image at random and resize the crop, as in the released code, but in one step and without aliasing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from uscl.clips.frame_resize import resize_frame, window_box

from .antialiased_resize import side_lengths
from .size_schedule import SizeSchedule


class CropWindow:
    """Draw crops on the image as squashed to the view's size, which is what the released code crops from.

    On the original frame, ranges such as the area of 0.8 to 1 with an aspect ratio of 0.8 to 1.25 do not fit a 16:9
    frame at all: every draw would fall back to one fixed centre crop.

    Args:
        scale: Side of the view in pixels, or (height, width).
        crop_ratio_range: Range of the window's fraction of the area.
        aspect_ratio_range: Range of the window's width over its height, on the squashed image.
        schedule: Arguments of :class:`SizeSchedule`, for a square view that grows during a run; None for one size.

    Raises:
        ValueError: The scale is neither one side nor two, or the schedule does not fit.
    """

    def __init__(
        self,
        scale: int | Sequence[int],
        crop_ratio_range: Sequence[float],
        aspect_ratio_range: Sequence[float],
        schedule: Mapping[str, Any] | None = None,
    ) -> None:
        from mmpretrain.datasets.transforms import RandomResizedCrop  # not needed by other transforms

        self.scale = side_lengths(scale)
        if schedule is not None and self.scale[0] != self.scale[1]:
            raise ValueError(f'schedule: views that grow should be square, but scale is {self.scale}.')
        self.schedule = None if schedule is None else SizeSchedule(self.scale[0], **schedule)
        self._crop = RandomResizedCrop(self.scale, tuple(crop_ratio_range), tuple(aspect_ratio_range))

    def size(self, results: Mapping[str, Any]) -> tuple[int, int]:
        """Height and width of a view at the ``progress`` of a sample."""
        if self.schedule is None:
            return self.scale
        side = self.schedule.at(results.get('progress'))
        return side, side

    def draw(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, left, height and width on the grid of a view, in whole pixels."""
        return self._crop.rand_crop_params(np.broadcast_to(np.uint8(0), size))

    def __repr__(self) -> str:
        return f'{self._crop}, schedule={self.schedule}'


@TRANSFORMS.register_module()
class AntialiasedRandomResizedCrop(BaseTransform):
    """Crop at random and resize the crop with Pillow's bilinear filter; the aspect ratio is not kept.

    The window is drawn as MMPretrain's ``RandomResizedCrop`` would draw it on the image squashed to ``scale``
    (:class:`CropWindow`), but sampled from the original image, in one step. Without a crop this equals
    :class:`AntialiasedResize`; with one, it resizes once where the released code resizes twice.

    **Required Keys:**

    - img (np.ndarray): (H, W) or (H, W, C), uint8 or float
    - progress (float, optional): completed fraction of the run, in [0, 1), for ``schedule``

    **Modified Keys:**

    - img (np.ndarray): resized to ``scale``, or to the size that the schedule says
    - img_shape (tuple[int, int]): its height and width

    Args:
        scale: Side in pixels, or (height, width).
        crop_ratio_range: Range of the window's fraction of the area.
        aspect_ratio_range: Range of the window's width over its height, on the image squashed to ``scale``.
        schedule: ``dict(start=0.5, until=0.8, multiple=16)`` starts with views of half the size, which cost about a
            quarter, see :class:`~uscl_plugin.datasets.transforms.size_schedule.SizeSchedule`; None for one size.
    """

    def __init__(
        self,
        scale: int | Sequence[int],
        crop_ratio_range: Sequence[float] = (0.8, 1.0),
        aspect_ratio_range: Sequence[float] = (0.8, 1.25),
        schedule: Mapping[str, Any] | None = None,
    ) -> None:
        self.window = CropWindow(scale, crop_ratio_range, aspect_ratio_range, schedule)

    def transform(self, results: dict) -> dict:
        """Replace ``img``; see the class."""
        img, size = results['img'], self.window.size(results)
        results['img'] = resize_frame(img, size, window_box(self.window.draw(size), size, img.shape[:2]))
        results['img_shape'] = size
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(scale={self.window.scale}, window={self.window})'
