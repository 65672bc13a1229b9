"""Colour jitter of a batch of views, each with its own factors and order, equal to MMPretrain's ColorJitter (Pillow).

Grey levels are integers in [0, 255], stored as float32; every operation truncates, like Pillow's.
"""

import torch
from torch import Tensor

from uscl_plugin.datasets.transforms.view_params import BRIGHTNESS, CONTRAST, HUE


def luma(images: Tensor) -> Tensor:
    """Brightness of colour images with Pillow's rounding, ``(19595 R + 38470 G + 7471 B + 2^15) / 2^16``.

    Args:
        images: (N, 3, H, W) float32, grey levels, BGR.

    Returns:
        (N, 1, H, W) float32, grey levels; exact, since all sums are below 2^24.
    """
    blue, green, red = images.split(1, dim=1)
    return (19595 * red).add_(38470 * green).add_(7471 * blue).add_(32768).div_(65536).floor_()


def mean_level(grey: Tensor) -> Tensor:
    """(N, 1, 1, 1): mean of each image (N, 1, H, W), rounded half up."""
    count = grey[0].numel()
    # Sums of integers below 2^24 are exact in single precision, in any order.
    dtype = torch.float32 if 255 * count < 2**24 else torch.float64
    total = grey.sum(dim=(1, 2, 3), keepdim=True, dtype=dtype)
    return ((2 * total.long() + count) // (2 * count)).float()


def blend(images: Tensor, other: Tensor | float, factors: Tensor) -> Tensor:
    """``other + factor (images - other)``, clipped to [0, 255] and truncated to integers; ``Image.blend``.

    Args:
        images: (N, C, H, W) float32, grey levels; overwritten.
        other: Broadcast to ``images``.
        factors: (N, 1, 1, 1), not negative.

    Returns:
        ``images``.
    """
    return images.sub_(other).mul_(factors).add_(other).clamp_(0, 255).floor_()


def shift_hue(images: Tensor, factors: Tensor) -> Tensor:
    """Rotate the hue by a fraction of the circle, in Pillow's 8-bit HSV.

    Args:
        images: (N, 3, H, W) float32, grey levels, BGR.
        factors: (N, 1, 1, 1) in [-0.5, 0.5].

    Returns:
        (N, 3, H, W) float32, grey levels. Pixels without colour do not change.
    """
    blue, green, red = images.split(1, dim=1)
    value = torch.maximum(torch.maximum(blue, green), red)
    chroma = value - torch.minimum(torch.minimum(blue, green), red)
    safe = chroma.clamp(min=1)
    b, g, r = ((value - channel).div_(safe) for channel in (blue, green, red))
    sextant = torch.where(red == value, b - g, torch.where(green == value, 2 + r - b, 4 + g - r))
    hue = sextant.div_(6).remainder_(1).mul_(255).floor_()
    hue = hue.add_(torch.trunc(factors * 255)).remainder_(256).mul_(6).div_(255)
    depth = chroma.mul_(255).div_(value.clamp(min=1)).floor_().div_(255).mul_(value)  # saturation times value

    shifted = torch.empty_like(images)
    for place, corner in enumerate((1, 3, 5)):  # blue, green, red
        # Along the hue a channel is at value, falls to value - depth within a sextant, stays for two, and rises again.
        distance = torch.remainder(hue + corner, 6)
        fall = torch.minimum(distance, 4 - distance).clamp_(0, 1)
        torch.sub(value, fall.mul_(depth), out=shifted[:, place : place + 1])
    return shifted.add_(0.5).floor_()


def jitter(images: Tensor, order: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of each view.

    Args:
        images: (N, C, H, W) float32, grey levels; C = 1 is grey, which saturation and hue do not change.
        order: (N, 4) on the CPU: the first operation, the second, …, numbered as in ``view_params``.
        factors: (N, 4) on the images' device, in the order of the numbering.

    Returns:
        (N, C, H, W) float32, grey levels.
    """
    factors = factors[:, :, None, None, None]
    if images.shape[1] == 1:
        return _jitter_grey(images, order, factors)
    ranks = order.long()
    by_kind = ranks.argsort(dim=0, stable=True).to(images.device, non_blocking=True)  # groups views by operation
    images = images.clone()
    for step in range(ranks.shape[1]):
        start = 0
        for kind, count in enumerate(torch.bincount(ranks[:, step], minlength=4).tolist()):
            if count:
                chosen = by_kind[start : start + count, step]
                images[chosen] = _apply(kind, images[chosen], factors[chosen, kind])
            start += count
    return images


def _apply(kind: int, images: Tensor, factors: Tensor) -> Tensor:
    if kind == HUE:
        return shift_hue(images, factors)
    if kind == BRIGHTNESS:
        return blend(images, 0, factors)
    grey = luma(images)
    return blend(images, mean_level(grey) if kind == CONTRAST else grey, factors)


def _jitter_grey(images: Tensor, order: Tensor, factors: Tensor) -> Tensor:
    """Brightness and contrast in either order: both blend with one level per view, which is 0 for brightness."""
    places = order.argsort(dim=1)
    first = (places[:, CONTRAST] < places[:, BRIGHTNESS]).to(images.device, non_blocking=True)[:, None, None, None]
    images = images.clone()
    for is_contrast in (first, ~first):
        level = mean_level(images) * is_contrast
        images = blend(images, level, torch.where(is_contrast, factors[:, CONTRAST], factors[:, BRIGHTNESS]))
    return images
