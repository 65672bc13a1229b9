"""Crop and resize a batch of views on any device, each with its own window: Pillow's bilinear filter as two matrices.

Weights are multiples of 2⁻¹⁶ and grey levels are integers, so every sum is exact in single precision and the result is
the same on every device, regardless of the order of summation. It differs by at most one level from Pillow's, whose
weights are finer.
"""

import torch
from torch import Tensor

from uscl_plugin.datasets.transforms import view_params as columns

_STEPS = 2**16  # 255 levels times weights of 2^16 steps stay below the 2^24 that single precision counts to


def resize_weights(starts: Tensor, lengths: Tensor, extents: Tensor, size: int, span: int) -> tuple[Tensor, Tensor]:
    """Weights of Pillow's bilinear filter along one axis: a triangle two output pixels wide.

    Args:
        starts: (N,) float64, start of each interval, in pixels.
        lengths: (N,) float64, its length.
        extents: (N,) float64, number of pixels in each image; pixels beyond it get no weight.
        size: Number of output pixels.
        span: Number of pixels of the batch along the axis.

    Returns:
        Positions and weights, (N, size, K) int64 and float32: pixel j of image n is the sum over k of the weights times
        the pixels at the positions. Weights sum to 1, within 2⁻¹⁷ each.
    """
    scale = (lengths / size)[:, None]
    reach = scale.clamp(min=1)  # no smoothing when enlarging
    centres = starts[:, None] + (torch.arange(size) + 0.5) * scale  # (N, size)
    first = (centres - reach + 0.5).floor().clamp(min=0)
    places = first[..., None] + torch.arange(int((2 * reach.max()).ceil()) + 1)
    weights = (1 - (places + 0.5 - centres[..., None]).abs() / reach[..., None]).clamp(min=0)
    weights *= places < extents[:, None, None]
    weights = (weights / weights.sum(dim=2, keepdim=True) * _STEPS).round() / _STEPS
    return places.long().clamp(max=span - 1), weights.float()


def crop_resize(images: Tensor, params: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop each image, resize the crop and optionally flip it: ``AntialiasedRandomResizedCrop``, then ``RandomFlip``.

    Like Pillow, first along the rows, then along the columns, rounding in between.

    Args:
        images: (N, C, H, W) float32, grey levels.
        params: (N, 21) float32, on the CPU, see :mod:`uscl_plugin.datasets.transforms.view_params`.
        size: Height and width of the result, on whose grid the windows were drawn.

    Returns:
        (N, C, *size) float32, grey levels.
    """
    number, channels, height, width = images.shape
    params = params.double()
    extents = params[:, columns.FRAME]
    pixels = (extents / torch.tensor(size)).repeat(1, 2)  # frame pixels per grid pixel, along each side
    top, left, window_height, window_width = (params[:, columns.CROP] * pixels).T
    places, weights = resize_weights(left, window_width, extents[:, 1], size[1], width)
    flips = params[:, columns.FLIP, None, None] > 0
    x = _matrix(torch.where(flips, places.flip(1), places), torch.where(flips, weights.flip(1), weights), width, images)
    y = _matrix(*resize_weights(top, window_height, extents[:, 0], size[0], height), height, images)
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 has only eight bits
        rows = torch.bmm(images.reshape(number, channels * height, width), x.transpose(1, 2))
        rows = rows.add_(0.5).floor_().view(number, channels, height, size[1])
        return torch.matmul(y[:, None], rows).add_(0.5).floor_()


def _matrix(places: Tensor, weights: Tensor, span: int, like: Tensor) -> Tensor:
    """(N, size, span), mostly zeros, on the device of ``like``."""
    matrix = torch.zeros(*places.shape[:2], span, device=like.device)
    places, weights = (tensor.to(like.device, non_blocking=True) for tensor in (places, weights))
    return matrix.scatter_add_(2, places, weights)
