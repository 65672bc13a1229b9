"""Draw all random numbers for both views of a video, leaving the pixels to the model's data preprocessor."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, RandomFlip
from mmengine.registry import TRANSFORMS

from . import view_params as columns
from .antialiased_crop import CropWindow
from .mixing import MixFrames


@TRANSFORMS.register_module()
class DrawViews(BaseTransform):
    """Draw how two views are made from the frames: mixing, crop, flip, rotation, colour jitter.

    Replaces ``MixFrames(out_dtype='uint8')`` and, for each view in turn, AntialiasedRandomResizedCrop, mmcv's
    RandomFlip, MMPretrain's Rotate (uniform in ±degrees) and ColorJitter. Their own methods draw the numbers here, in
    the same order from the same generators, so the same seed gives the same numbers either way. No pixel is touched;
    :class:`~uscl_plugin.models.SPGDataPreprocessor` processes the pixels, one batch at a time.

    **Required Keys:**

    - imgs (list[np.ndarray]): one to three frames in time order, (H, W, 1) or (H, W, 3) uint8, all of one size
    - progress (float, optional): completed fraction of the run, in [0, 1), for ``schedule``

    **Added Keys:**

    - view_params (np.ndarray): (2, 21) float32, see :mod:`uscl_plugin.datasets.transforms.view_params`
    - mix_ratios (tuple[float, ...]): (ξ1, ξ2); empty if nothing is mixed

    Args:
        scale: Side length of the views in pixels, or (height, width).
        alpha: First parameter of the Beta distribution of the mixing ratios, > 0.
        beta: Second parameter, > 0.
        shared_ratio: ``False`` draws ξ1 and ξ2 independently (paper), ``True`` uses one for both (released code).
        crop_ratio_range: Range of the crop's fraction of the frame's area.
        aspect_ratio_range: Range of the crop's width over its height, on the frame squashed to ``scale``.
        flip_prob: Probability of a horizontal flip.
        degrees: Largest rotation angle in either direction.
        brightness: Factor from ``1 - brightness`` to ``1 + brightness``, as in MMPretrain's ColorJitter.
        contrast: Factor from ``1 - contrast`` to ``1 + contrast``.
        saturation: Factor from ``1 - saturation`` to ``1 + saturation``.
        hue: Largest shift in either direction, in turns of the colour circle, at most 0.5.
        schedule: As for :class:`AntialiasedRandomResizedCrop`: views that grow during a run; None for one size.

    Raises:
        ValueError: A setting, or the number or sizes of the frames, is wrong.
    """

    def __init__(
        self,
        scale: int | Sequence[int],
        alpha: float = 0.5,
        beta: float = 0.5,
        shared_ratio: bool = False,
        crop_ratio_range: tuple[float, float] = (0.8, 1.0),
        aspect_ratio_range: tuple[float, float] = (0.8, 1.25),
        flip_prob: float = 0.5,
        degrees: float = 10.0,
        brightness: float | Sequence[float] = 0.8,
        contrast: float | Sequence[float] = 0.8,
        saturation: float | Sequence[float] = 0.8,
        hue: float | Sequence[float] = 0.2,
        schedule: Mapping[str, Any] | None = None,
    ) -> None:
        from mmpretrain.datasets.transforms import ColorJitter, Rotate  # not needed by other transforms

        if not 0 <= flip_prob <= 1:
            raise ValueError(f'flip_prob should be in [0, 1], got {flip_prob}.')
        if degrees < 0:
            raise ValueError(f'degrees should not be negative, got {degrees}.')
        self.mix = MixFrames(alpha, beta, shared_ratio)
        self.crop = CropWindow(scale, crop_ratio_range, aspect_ratio_range, schedule)
        self.flip = RandomFlip(prob=float(flip_prob), direction='horizontal')
        self.rotate = Rotate(
            magnitude_level=1, magnitude_range=(0, degrees), magnitude_std='inf', total_level=1, prob=1.0
        )
        self.jitter = ColorJitter(brightness, contrast, saturation, hue)

    def _sample_params(self, frame: np.ndarray, size: tuple[int, int]) -> list[float]:
        """The draws after mixing, in the order in which the transforms would run."""
        crop = self.crop.draw(size)
        flip = self.flip._choose_direction() is not None
        is_still = self.rotate.random_disable()  # never true at prob=1, but consumes a draw
        angle = self.rotate.random_negative(self.rotate.random_magnitude())
        order, *drawn = self.jitter._rand_params()
        pairs = zip(drawn, columns.NEUTRAL_FACTORS, strict=True)
        factors = [neutral if factor is None else factor for factor, neutral in pairs]
        return [*crop, flip, 0.0 if is_still else angle, *order, *factors, *size, *frame.shape[:2]]

    def transform(self, results: dict) -> dict:
        """Add ``view_params`` and ``mix_ratios``; see the class."""
        imgs = results['imgs']
        sizes = {img.shape[:2] for img in imgs}
        if not 1 <= len(imgs) <= columns.MAX_FRAMES or len(sizes) != 1:
            found = f'got {len(imgs)} of sizes {sorted(sizes)} for video {results.get("video_id", "(no id)")!r}'
            remedy = 'use SampleVideoFrames(num_frames=3), and resize first'
            raise ValueError(f'DrawViews takes one to three frames of one size, {found}: {remedy}.')
        size = self.crop.size(results)
        params = np.zeros((2, columns.NUM_PARAMS), np.float32)
        ratios: tuple[float, ...] = ()
        if len(imgs) == 3:
            ratios = self.mix._sample_params()
            params[:, 1] = 1 - np.array(ratios, np.float32)  # the anchor
            params[0, 0], params[1, 2] = ratios
        else:
            params[0, 0] = params[1, len(imgs) - 1] = 1
        for row in params:
            row[columns.WEIGHTS.stop :] = self._sample_params(imgs[0], size)
        results['view_params'] = params
        results['mix_ratios'] = ratios
        return results

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(scale={self.crop.scale}, mix={self.mix}, crop={self.crop}, flip={self.flip}, '
            f'rotate={self.rotate}, jitter={self.jitter})'
        )
