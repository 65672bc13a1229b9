"""Make the two views of a batch of videos on the model's device: the second half of :class:`DrawViews`."""

from typing import Any

import torch
from mmpretrain.models import SelfSupDataPreprocessor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from uscl_plugin.compat.backbone_io import GREY_WEIGHTS
from uscl_plugin.datasets.transforms import view_params as columns

from .color_jitter import jitter
from .view_geometry import mix_frames, rotate
from .view_resize import crop_resize

_CPU_VIDEOS = 8
_REMEDY = "use collate_fn=dict(type='collate_frames') in the data loader"


def make_views(
    frames: Tensor, view_params: Tensor, device: torch.device | str = 'cpu', non_blocking: bool = False
) -> list[Tensor]:
    """Mix, crop, resize, flip, rotate and jitter the frames of a batch.

    Args:
        frames: (B, F, C, H, W) uint8; C is 1 (grey) or 3 (BGR).
        view_params: (B, V, 21) float32, on the CPU, because lists of indices are made from it.
        device: Device to compute on.
        non_blocking: Whether to continue before the frames are copied, for pinned memory.

    Returns:
        V views, each (B, C, S, S) float32, grey levels.

    Raises:
        ValueError: The views differ in size.
    """
    sizes = view_params[..., columns.SIZE].reshape(-1, 2)
    if not (sizes == sizes[0]).all():
        found = sorted({(int(height), int(width)) for height, width in sizes.tolist()})
        raise ValueError(f'The views of a batch should have one size, got {found}: give DrawViews a single scale.')
    size = (int(sizes[0, 0]), int(sizes[0, 1]))
    # On a CPU, process parts that fit its caches: all at once takes up to half as long again.
    part = _CPU_VIDEOS if torch.device(device).type == 'cpu' else max(len(frames), 1)
    made = [
        _make_part(own.to(device, non_blocking=non_blocking), params, size)
        for own, params in zip(frames.split(part), view_params.split(part), strict=True)
    ]
    return [torch.cat(view) if len(view) > 1 else view[0] for view in zip(*made, strict=True)]


def _make_part(frames: Tensor, view_params: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
    weights = view_params[..., columns.WEIGHTS].to(frames.device, non_blocking=True)
    images = mix_frames(frames, weights).flatten(0, 1)  # view by view, (VB, C, H, W)
    drawn = view_params.transpose(0, 1).flatten(0, 1)  # in the same order, on the CPU
    params = drawn.to(frames.device, non_blocking=True)
    images = crop_resize(images, drawn, size)
    images = rotate(images, params[:, columns.ANGLE])
    return jitter(images, drawn[:, columns.ORDER], params[:, columns.FACTORS]).chunk(view_params.shape[1])


@MODELS.register_module()
class SPGDataPreprocessor(SelfSupDataPreprocessor):
    """Sample pair generation for a whole batch on the model's device, after :class:`DrawViews`; then normalisation.

    Grey batches keep one channel until they are normalised. Other batches (views made by a pipeline) are handled by the
    parent class.

    Args:
        channels: 3, or 1 for a backbone of grey images, which gets the grey level of colour frames.
        **kwargs: Arguments of :class:`mmpretrain.models.SelfSupDataPreprocessor`: mean and std for values of 0..255,
            ``to_rgb``, ``non_blocking``.

    Raises:
        ValueError: ``channels`` is another number, or mean and std differ between channels that are mixed.
    """

    def __init__(self, channels: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self._is_alike = self._enable_normalize and all((t == t[:1]).all().item() for t in (self.mean, self.std))

        if channels not in (1, 3) or (channels == 1 and self._enable_normalize and not self._is_alike):
            raise ValueError(f'channels should be 3, or 1 with one mean and one std, got {channels}.')

    def forward(self, data: dict, training: bool = False) -> dict:
        """Make the views of a batch.

        Args:
            data: Output of :func:`~uscl_plugin.datasets.transforms.collate_frames`.
            training: Not used: the pipeline decides whether to augment.

        Returns:
            ``inputs``, the two views, each (B, 3 or 1, S, S) float32, normalised (an expanded view if all
            channels are equal, so do not write to it), and ``data_samples`` with labels on the device.

        Raises:
            TypeError: The batch comes from another collate function.
        """
        if not isinstance(data, dict):
            raise TypeError(f'SPGDataPreprocessor takes a dict, got {type(data).__name__}: {_REMEDY}.')
        if 'view_params' not in data:
            inputs = data.get('inputs')
            while isinstance(inputs, list | tuple) and inputs:
                inputs = inputs[0]
            if not isinstance(inputs, Tensor):
                raise TypeError(
                    f'SPGDataPreprocessor takes a batch as one tensor, got {type(inputs).__name__}: {_REMEDY}.'
                )
            made = super().forward(data, training)
            views = made['inputs']
            made['inputs'] = list(map(self._mixed, views)) if isinstance(views, list) else self._mixed(views)
            return made
        views = make_views(data['inputs'], data['view_params'].cpu(), self.device, self._non_blocking)
        return {
            'inputs': [self._mixed(self.normalise(view)) for view in views],
            'data_samples': self._place(data['data_samples']),
        }

    def normalise(self, view: Tensor) -> Tensor:
        """(B, C, S, S) grey levels to (B, 3, S, S), in the model's channel order."""
        if self._channel_conversion and view.shape[1] == 3:
            view = view.flip(1)
        if self._enable_normalize:
            one = slice(0, 1 if view.shape[1] == 1 and self._is_alike else None)
            view = (view - self.mean[one]) / self.std[one]
        return view.expand(-1, 3, -1, -1)

    def _mixed(self, view: Tensor) -> Tensor:
        """(B, 3, S, S), normalised, to the number of channels."""
        if self.channels == view.shape[1]:
            return view
        weights = GREY_WEIGHTS if self._channel_conversion else GREY_WEIGHTS[::-1]
        return (view * torch.tensor(weights, device=view.device).view(1, 3, 1, 1)).sum(1, keepdim=True)

    def _place(self, samples: list[DataSample]) -> list[DataSample]:
        """Copy all labels to the device at once, instead of sample by sample with all metainfo."""
        labelled = [sample for sample in samples if 'gt_label' in sample]
        if labelled and self.device.type != 'cpu':
            labels = torch.cat([sample.gt_label for sample in labelled]).to(
                self.device, non_blocking=self._non_blocking
            )
            for sample, label in zip(labelled, labels.split([len(s.gt_label) for s in labelled]), strict=True):
                sample.set_gt_label(label)
        return samples
