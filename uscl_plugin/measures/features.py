"""Features of frames: the pooled last feature map of a backbone."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch
from torch import nn

from uscl.clips.frame_resize import resize_frame
from uscl_plugin.compat.backbone_io import GREY_WEIGHTS, input_channels, pool


def extract_features(
    backbone: nn.Module,
    frames: Iterable[np.ndarray],
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    to_rgb: bool,
    batch_size: int = 32,
) -> np.ndarray:
    """Global average of a backbone's last feature map, for every frame.

    Runs in evaluation mode on the device of the backbone's parameters, and restores the mode of every submodule. Frames
    are taken from the iterable one batch at a time, so they need not fit in memory together.

    Args:
        backbone: Maps (B, 3, size, size) float32, or (B, 1, size, size) if it takes grey images, to a tensor
            (B, C, H, W) or (B, C), or to a sequence of tensors of which the last is used, like MMPretrain's backbones.
        frames: (H, W, 3) uint8, BGR, of any and differing sizes.
        size: Side length in pixels to which frames are resized, as in training; the aspect ratio is not kept.
        mean: Values in [0, 255] to subtract, in the network's channel order; one for a network of grey images.
        std: As many values above 0 to divide by.
        to_rgb: Whether the network expects RGB.
        batch_size: Frames per forward pass.

    Returns:
        (N, C) float32.

    Raises:
        ValueError: There are no frames, or one is not (H, W, 3) uint8.
    """
    weight = next(backbone.parameters(), torch.empty(0))
    is_grey = input_channels(backbone) == 1
    grey = torch.tensor(GREY_WEIGHTS if to_rgb else GREY_WEIGHTS[::-1], device=weight.device).view(-1, 1, 1)
    shift = torch.tensor(mean, dtype=torch.float32, device=weight.device).view(-1, 1, 1)
    scale = torch.tensor(std, dtype=torch.float32, device=weight.device).view(-1, 1, 1)
    features = []
    with evaluating(backbone), torch.inference_mode():
        for batch in _batches(frames, batch_size):
            images = np.stack([_prepare(frame, size, to_rgb) for frame in batch])
            inputs = torch.from_numpy(images).to(weight.device).permute(0, 3, 1, 2).float()
            if is_grey:
                inputs = (inputs * grey).sum(1, keepdim=True)
            features.append(pool(backbone((inputs - shift) / scale)).float().cpu())
    if not features:
        raise ValueError('There are no frames to extract features from.')
    return torch.cat(features).numpy()


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode, and restore the mode of every module afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def _batches(frames: Iterable[np.ndarray], batch_size: int) -> Iterator[list[np.ndarray]]:
    iterator = iter(frames)
    while batch := list(islice(iterator, batch_size)):
        yield batch


def _prepare(frame: np.ndarray, size: int, to_rgb: bool) -> np.ndarray:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f'A frame should be (H, W, 3) uint8, got {frame.shape} {frame.dtype}.')
    frame = resize_frame(frame, (size, size))
    return frame[..., ::-1] if to_rgb else frame
