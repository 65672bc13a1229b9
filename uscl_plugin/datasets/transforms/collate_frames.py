"""Collate the frames of single videos into the tensor of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import FUNCTIONS, TRANSFORMS

from . import view_params as columns
from .packing import META_KEYS


@dataclass(frozen=True)
class PlannedView:
    """A view yet to be made. It is not a mapping, sequence or tensor, so that other collate functions reject it.

    Attributes:
        frames: One to three frames of a video, (H, W, 1) or (H, W, 3) uint8.
        params: (21,) float32, see :mod:`uscl_plugin.datasets.transforms.view_params`.
    """

    frames: list[np.ndarray]
    params: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the view in the batch."""
        height, width = self.params[columns.SIZE]
        return 3, int(height), int(width)


@TRANSFORMS.register_module()
class PackFrames(BaseTransform):
    """Final step after :class:`DrawViews`; its data loader needs ``collate_fn=dict(type='collate_frames')``.

    **Required Keys:**

    - imgs (list[np.ndarray]): one to three frames, (H, W, 1) or (H, W, 3) uint8, all of one size
    - view_params (np.ndarray): (2, 21) float32
    - gt_label (int, optional)

    **Added Keys:**

    - inputs (list[PlannedView]): the two views, which share the frames
    - data_samples (mmpretrain.structures.DataSample): the label, and the available ``meta_keys`` as metainfo

    All other keys are removed.

    Args:
        meta_keys: Keys of the sample to keep.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        from mmpretrain.structures import DataSample

        self.meta_keys = tuple(meta_keys)
        self._sample_type = DataSample

    def transform(self, results: dict) -> dict:
        """Replace everything with ``inputs`` and ``data_samples``; see the class."""
        if 'view_params' not in results:
            what = f'video {results.get("video_id", "(no id)")!r} has no view_params'
            raise ValueError(f'{what}: put DrawViews before PackFrames, or use PackInputs for finished views.')
        sample = self._sample_type()
        for key in self.meta_keys:
            if key in results:
                sample.set_field(results[key], key, field_type='metainfo')
        if 'gt_label' in results:
            sample.set_gt_label(results['gt_label'])
        return {'inputs': [PlannedView(results['imgs'], row) for row in results['view_params']], 'data_samples': sample}

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(meta_keys={self.meta_keys})'


@FUNCTIONS.register_module()
def collate_frames(data_batch: Sequence[dict]) -> dict:
    """Collate the frames of a batch into one tensor.

    Args:
        data_batch: B items of :class:`PackFrames`.

    Returns:
        ``inputs`` (B, F, C, H, W) uint8, with the largest number of frames, height and width in the batch, zero-padded,
        and C = 1 if all frames are grey; ``view_params`` (B, 2, 21) float32; ``data_samples``, a list of B. The memory
        layout is that of the frames, channels last.

    Raises:
        TypeError: An item does not come from PackFrames.
    """
    for item in data_batch:
        if not (isinstance(item, dict) and all(isinstance(view, PlannedView) for view in item.get('inputs', [None]))):
            found = sorted(item) if isinstance(item, dict) else type(item).__name__
            what = f'collate_frames takes items from DrawViews and PackFrames, got {found} with other inputs'
            raise TypeError(f"{what}: end the pipeline with these two, or use collate_fn=dict(type='default_collate').")
    videos = [item['inputs'][0].frames for item in data_batch]
    shapes = np.array([frame.shape for frames in videos for frame in frames])  # (sum of F, 3)
    height, width, channels = shapes.max(axis=0)
    whole = (len(videos), max(map(len, videos)), height, width, channels)
    # Zeros are only needed as padding for smaller videos; if all have one size, every pixel is written.
    is_ragged = (shapes[:, :2] != (height, width)).any() or len(shapes) < whole[0] * whole[1]
    batch = np.zeros(whole, np.uint8) if is_ragged else np.empty(whole, np.uint8)
    for place, frames in zip(batch, videos, strict=True):
        for target, frame in zip(place, frames, strict=False):
            target[: frame.shape[0], : frame.shape[1]] = frame  # grey among colour: repeated over three channels
    return {
        'inputs': torch.from_numpy(batch).permute(0, 1, 4, 2, 3),
        'view_params': torch.from_numpy(np.stack([[view.params for view in item['inputs']] for item in data_batch])),
        'data_samples': [item['data_samples'] for item in data_batch],
    }
