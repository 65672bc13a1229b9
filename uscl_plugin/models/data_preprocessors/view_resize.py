"""Crop and resize a batch of views on any device, each by its own window: Pillow's bilinear filter as two matrices.

Weights are multiples of 2⁻¹⁶ and grey levels are whole, so every sum is exact in single precision: the same numbers on
every device, whatever the order of the sums. They are at most one level from Pillow's, whose weights are finer.
"""

import torch
from torch import Tensor

from uscl_plugin.datasets.transforms import view_params as columns

_STEPS = 2**16  # 255 levels times weights of 2^16 steps stay below the 2^24 that single precision counts to


def resize_weights(starts: Tensor, lengths: Tensor, extents: Tensor, size: int, span: int) -> tuple[Tensor, Tensor]:
    """Weights of Pillow's bilinear filter along one axis: a triangle as wide as two pixels of the result.

    Args:
        starts: (N,) float64, where each interval starts, in pixels.
        lengths: (N,) float64, its length.
        extents: (N,) float64, how many pixels each image has; there may be others behind them, which have no weight.
        size: Number of pixels that the interval becomes.
        span: Pixels of the batch along the axis.

    Returns:
        Places and weights, (N, size, K) int64 and float32: pixel j of image n is the sum over k of weight times pixel
        at the place. Weights sum to 1, within 2⁻¹⁷ for each.
    """
    scale = (lengths / size)[:, None]
    reach = scale.clamp(min=1)  # what is enlarged is not smoothed
    centres = starts[:, None] + (torch.arange(size) + 0.5) * scale  # (N, size)
    first = (centres - reach + 0.5).floor().clamp(min=0)
    places = first[..., None] + torch.arange(int((2 * reach.max()).ceil()) + 1)
    weights = (1 - (places + 0.5 - centres[..., None]).abs() / reach[..., None]).clamp(min=0)
    weights *= places < extents[:, None, None]
    weights = (weights / weights.sum(dim=2, keepdim=True) * _STEPS).round() / _STEPS
    return places.long().clamp(max=span - 1), weights.float()


def crop_resize(images: Tensor, params: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop each image, resize the crop and flip it or not: ``AntialiasedRandomResizedCrop``, then ``RandomFlip``.

    As Pillow does, first along the rows, then along the columns, rounding in between.

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
    pixels = (extents / torch.tensor(size)).repeat(1, 2)  # of the frame, along each side of one pixel of the grid
    top, left, window_height, window_width = (params[:, columns.CROP] * pixels).T
    places, weights = resize_weights(left, window_width, extents[:, 1], size[1], width)
    flips = params[:, columns.FLIP, None, None] > 0
    x = _matrix(torch.where(flips, places.flip(1), places), torch.where(flips, weights.flip(1), weights), width, images)
    y = _matrix(*resize_weights(top, window_height, extents[:, 0], size[0], height), height, images)
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 has eight bits
        rows = torch.bmm(images.reshape(number, channels * height, width), x.transpose(1, 2))
        rows = rows.add_(0.5).floor_().view(number, channels, height, size[1])
        return torch.matmul(y[:, None], rows).add_(0.5).floor_()


def _matrix(places: Tensor, weights: Tensor, span: int, like: Tensor) -> Tensor:
    """(N, size, span), mostly zeros, on the device of ``like``."""
    matrix = torch.zeros(*places.shape[:2], span, device=like.device)
    places, weights = (tensor.to(like.device, non_blocking=True) for tensor in (places, weights))
    return matrix.scatter_add_(2, places, weights)
