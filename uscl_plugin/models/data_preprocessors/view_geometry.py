"""Mix, crop, resize, flip and rotate a batch of views, each by its own numbers.

Grey levels are whole numbers in [0, 255], as float32: every step rounds, as one that hands on uint8 does.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def mix_frames(frames: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of the frames of each video, rounded: ``MixFrames(out_dtype='uint8')``.

    Args:
        frames: (B, F, C, H, W) uint8.
        weights: (B, V, ≥ F) float32, not negative, of sum 1 over the frames that a video has.

    Returns:
        (V, B, C, H, W) float32, grey levels.
    """
    # Contiguous, as the product takes over the order of the axes in memory.
    shares = weights.permute(2, 1, 0).contiguous()[..., None, None, None]  # (F, V, B, 1, 1, 1)
    mixed = frames[:, 0].float() * shares[0]
    for k in range(1, frames.shape[1]):
        # No matrix product: autocast and TF32 would round grey levels to 11 bits.
        mixed.addcmul_(frames[:, k].float(), shares[k])
    return mixed.round_()


def crop_resize(images: Tensor, crops: Tensor, flips: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop each image and resize the crop as ``cv2.resize`` does: bilinear, not antialiased; then flip it or not.

    Pixel ``j`` of ``n`` is at ``(j + 1/2) m / n - 1/2`` of the crop's ``m`` pixels, and the crop's outermost pixels go
    on beyond its border.

    Args:
        images: (N, C, H, W) float32, grey levels.
        crops: (N, 4) float32: top, left, height, width in pixels, within the image.
        flips: (N,) float32, 1 for a horizontal flip.
        size: Height and width of the result.

    Returns:
        (N, C, *size) float32, grey levels.
    """
    top, left, height, width = crops.T
    y = _positions(size[0], height, images)
    x = _positions(size[1], width, images)
    x = torch.where(flips[:, None] > 0, x.flip(1), x)
    y, x = top[:, None] + y, left[:, None] + x
    grid = torch.empty(len(images), *size, 2, device=images.device)
    grid[..., 0] = _normalised(x, images.shape[3])[:, None, :]
    grid[..., 1] = _normalised(y, images.shape[2])[:, :, None]
    return F.grid_sample(images, grid, padding_mode='border', align_corners=False).round_()


def _positions(count: int, lengths: Tensor, like: Tensor) -> Tensor:
    """(N, count): where in an interval of each length (N,) the resized pixels lie, in its pixels."""
    steps = torch.arange(count, device=like.device) + 0.5
    centres = steps * (lengths[:, None] / count) - 0.5
    return torch.minimum(centres.clamp(min=0), lengths[:, None] - 1)


def _normalised(position: Tensor, length: int) -> Tensor:
    """Pixels to what ``grid_sample(align_corners=False)`` counts in."""
    return (2 * position + 1) / length - 1


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Rotate each image about its centre, bilinearly, with 0 outside: ``mmcv.imrotate``.

    Args:
        images: (N, C, H, W) float32, grey levels.
        angles: (N,) float32, degrees, clockwise.

    Returns:
        (N, C, H, W) float32, grey levels.
    """
    height, width = images.shape[2:]
    cos, sin = torch.cos(angles * (math.pi / 180)), torch.sin(angles * (math.pi / 180))
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    # Where each pixel comes from, by the inverse rotation about the centre. grid_sample counts in halves of the side.
    grid = torch.empty(len(images), height, width, 2, device=images.device)
    x_scale, y_scale = 2 / width, 2 / height
    torch.add((x * x_scale * cos[:, None])[:, None, :], (y * x_scale * sin[:, None])[:, :, None], out=grid[..., 0])
    torch.sub((y * y_scale * cos[:, None])[:, :, None], (x * y_scale * sin[:, None])[:, None, :], out=grid[..., 1])
    return F.grid_sample(images, grid, padding_mode='zeros', align_corners=False).round_()
