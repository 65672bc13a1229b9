"""The one resize of this package: a window of a frame to a square, antialiased, the aspect ratio not kept.

The released code first squashes a frame to a square and draws its crop there. Here the window is drawn on that square,
too, but sampled from the frame in one step. Training, features, evaluation, predictions and maps of classifiers use
this; ``uscl_plugin.models.data_preprocessors.view_resize`` does the same for a batch on the model's device.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]


def window_box(window: Sequence[float], grid: tuple[int, int], frame: tuple[int, int]) -> Box:
    """A window that was drawn on a frame as squashed to another size, in pixels of the frame.

    Args:
        window: Top, left, height, width on the grid.
        grid: Height and width that the frame was squashed to.
        frame: Height and width of the frame.

    Returns:
        Top, left, height, width in pixels of the frame, not rounded.

    >>> window_box((0, 28, 112, 196), (224, 224), (240, 320))
    (0.0, 40.0, 120.0, 280.0)
    """
    y, x = frame[0] / grid[0], frame[1] / grid[1]
    top, left, height, width = window
    return top * y, left * x, height * y, width * x


def resize_frame(frame: np.ndarray, size: tuple[int, int], box: Box | None = None) -> np.ndarray:
    """Resize a frame, or a box of it, by Pillow's bilinear filter, which averages over what it shrinks.

    Args:
        frame: (H, W) or (H, W, C), uint8, or floating point, which is not rounded.
        size: Height and width of the result.
        box: Top, left, height, width in pixels, within the frame; pixels at its border take part of their neighbours
            outside. None takes the whole frame.

    Returns:
        (*size) or (*size, C), of the frame's dtype; float64 becomes float32.

    Raises:
        ValueError: The frame is of another shape or dtype, or empty, or the box is not within it.
    """
    if frame.ndim not in (2, 3) or 0 in frame.shape or (frame.dtype != np.uint8 and frame.dtype.kind != 'f'):
        raise ValueError(f'A frame should be (H, W) or (H, W, C) uint8 or float, got {frame.shape} {frame.dtype}.')
    height, width = frame.shape[:2]
    top, left, box_height, box_width = (0, 0, height, width) if box is None else box
    # Fractions may add up to 1e-14 more than the frame has; Pillow takes single precision, in which they do not.
    corners = (left, top, left + box_width, top + box_height)
    planes = [frame] if frame.ndim == 2 or _is_colour(frame) else np.moveaxis(frame, 2, 0)
    resized = [np.asarray(_image(plane).resize(size[::-1], Image.Resampling.BILINEAR, corners)) for plane in planes]
    return resized[0] if len(planes) == 1 and resized[0].ndim == frame.ndim else np.stack(resized, axis=2)


def _is_colour(frame: np.ndarray) -> bool:
    return frame.dtype == np.uint8 and frame.shape[2] == 3


def _image(plane: np.ndarray) -> Image.Image:
    return Image.fromarray(plane if plane.dtype == np.uint8 else plane.astype(np.float32))
