"""Mix and rotate a batch of views, each with its own numbers.

Grey levels are integers in [0, 255], stored as float32: every step rounds, as if it returned uint8.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def mix_frames(frames: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of the frames of each video, rounded: ``MixFrames(out_dtype='uint8')``.

    Args:
        frames: (B, F, C, H, W) uint8.
        weights: (B, V, ≥ F) float32, not negative, summing to 1 over the frames that a video has.

    Returns:
        (V, B, C, H, W) float32, grey levels.
    """
    # Contiguous, because the product inherits the memory order of the axes.
    shares = weights.permute(2, 1, 0).contiguous()[..., None, None, None]  # (F, V, B, 1, 1, 1)
    mixed = frames[:, 0].float() * shares[0]
    for k in range(1, frames.shape[1]):
        # Not a matrix product: autocast and TF32 would round grey levels to 11 bits.
        mixed.addcmul_(frames[:, k].float(), shares[k])
    return mixed.round_()


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
    # Source of each pixel, by the inverse rotation about the centre. grid_sample measures in halves of the side.
    grid = torch.empty(len(images), height, width, 2, device=images.device)
    x_scale, y_scale = 2 / width, 2 / height
    torch.add((x * x_scale * cos[:, None])[:, None, :], (y * x_scale * sin[:, None])[:, :, None], out=grid[..., 0])
    torch.sub((y * y_scale * cos[:, None])[:, :, None], (x * y_scale * sin[:, None])[:, None, :], out=grid[..., 1])
    return F.grid_sample(images, grid, padding_mode='zeros', align_corners=False).round_()
