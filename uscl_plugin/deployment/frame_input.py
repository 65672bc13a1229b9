"""From frames to the input of a network, inside its graph: grey or colour, geometry, both resizes.

The numbers are those of :func:`uscl.clips.frame_preparation.prepare_frame` (OpenCV's area average) and
:func:`uscl.clips.frame_resize.resize_frame` (Pillow's bilinear filter). Each resize is two weight matrices, made in the
graph from the sizes of the frames, with integers: the resizes that runtimes have themselves differ from one another.
"""

import torch
from torch import Tensor, nn

from uscl.clips.frame_preparation import COLOR_SHARE, COLOR_SPREAD
from uscl.convert.videos.store_settings import StoreSettings

_LUMA = (9798, 19235, 3735)  # OpenCV's, of 2^15; sums of levels stay exact in single precision
_ONE = 2**15
_STEPS = 2**22  # of Pillow's weights


class FrameInput(nn.Module):
    """Frames (N, H, W, C) uint8, grey or RGB → (N, 3, S, S) float32, RGB levels of 0..255.

    Args:
        settings: How the training data were converted: colour and shorter side. Rates and masks are left to the caller.
        size: Side S of the network's input in pixels.
    """

    def __init__(self, settings: StoreSettings, size: int) -> None:
        super().__init__()
        self.color, self.shorter, self.size = settings.color, settings.size, size

    def forward(self, frames: Tensor, color: Tensor) -> Tensor:
        """Frames of one clip, as the training data were prepared.

        Args:
            frames: (N, H, W, C) uint8, C 1 or 3.
            color: (1,) bool; true keeps frames in colour, where they would become grey as all of them nearly are.
        """
        levels = frames.expand(-1, -1, -1, 3).float()
        images = self._choose_channels(levels, color)
        height, width = (torch._shape_as_tensor(frames)[axis] for axis in (1, 2))
        images = self._shrink(images, height, width)
        shape = torch._shape_as_tensor(images)
        size = torch.tensor(self.size)
        images = _round(images.double() @ _triangles(shape[3], size).T, half_up=True)
        return _round(_triangles(shape[2], size) @ images, half_up=True).float().expand(-1, 3, -1, -1)

    def _choose_channels(self, levels: Tensor, color: Tensor) -> Tensor:
        """(N, H, W, 3) to (N, 3, H, W), or (N, 1, H, W) if all are grey."""
        images = levels.permute(0, 3, 1, 2)
        if self.color == 'color':
            return images
        weights = torch.tensor(_LUMA, dtype=torch.float32).reshape(1, 3, 1, 1)
        luma = (((images * weights).sum(1, keepdim=True) + _ONE // 2) / _ONE).floor()
        if self.color == 'gray':
            return luma
        spread = images.amax(1) - images.amin(1)
        share = (spread > COLOR_SPREAD).float().mean(dim=(1, 2))
        is_color = (share > COLOR_SHARE).any() | color.any()
        channels = torch.where(is_color, 3, 1)
        return torch.where(is_color, images, luma)[:, :channels]

    def _shrink(self, images: Tensor, height: Tensor, width: Tensor) -> Tensor:
        """As :func:`uscl.clips.frame_preparation.shrink`."""
        shorter = torch.minimum(height, width)
        limit = torch.tensor(self.shorter)

        def side(length: Tensor) -> Tensor:
            scaled = (length * limit).float() / shorter.float()
            return torch.where(shorter > limit, torch.maximum(limit, scaled.round().long()), length)

        rows, columns = side(height), side(width)
        images = _overlaps(height, rows) @ images @ _overlaps(width, columns).T
        is_half = (height == 2 * rows) & (width == 2 * columns)  # OpenCV rounds these, and only these, half up
        return torch.where(is_half, _round(images, half_up=True), _round(images, half_up=False))


def _overlaps(source: Tensor, size: Tensor) -> Tensor:
    """(size, source) weights of an average over areas: the share that each pixel has of each output pixel."""
    out, pixel = _count(size)[:, None], _count(source)[None]
    end = torch.minimum((pixel + 1) * size, (out + 1) * source)
    return (end - torch.maximum(pixel * size, out * source)).clamp(min=0).float() / source.float()


def _triangles(source: Tensor, size: Tensor) -> Tensor:
    """(size, source) float64 weights of a bilinear filter: a triangle two output pixels wide, or two when enlarging.

    They are multiples of 2⁻²², as Pillow's, whose sums are exact in double precision.
    """
    out, pixel = _count(size)[:, None], _count(source)[None]
    offset = ((2 * pixel + 1) * size - (2 * out + 1) * source).abs()
    weights = (2 * torch.maximum(source, size) - offset).clamp(min=0).double()
    return _round(weights / weights.sum(dim=1, keepdim=True) * _STEPS, half_up=True) / _STEPS


def _count(number: Tensor) -> Tensor:
    return torch.arange(number)  # type: ignore[call-overload]  # a tensor stays part of the graph


def _round(levels: Tensor, half_up: bool) -> Tensor:
    return (levels + 0.5).floor() if half_up else levels.round()
