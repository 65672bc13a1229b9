"""The one resize of this package: a window of a frame to a square, antialiased, the aspect ratio not kept.

The released code first squashes a frame to a square and crops there. Here the window is also drawn on that square, but
sampled from the frame in one step. Training, features, evaluation, predictions and class activation maps use this;
``uscl_plugin.models.data_preprocessors.view_resize`` does the same for a batch on the model's device.
"""

from collections.abc import Sequence
from fractions import Fraction

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
    is_one_image = frame.ndim == 2 or (frame.dtype == np.uint8 and frame.shape[2] == 3)
    pixels = frame if frame.dtype == np.uint8 else frame.astype(np.float32)
    images = [Image.fromarray(plane) for plane in ([pixels] if is_one_image else np.moveaxis(pixels, 2, 0))]
    resized = [np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR, corners)) for image in images]
    return resized[0] if is_one_image else np.stack(resized, axis=2)


def square_size(size: tuple[int, int], aspect: Fraction) -> tuple[int, int]:
    """The size of a frame with square pixels: as in players, the axis with too few pixels is enlarged.

    Args:
        size: Height and width as stored.
        aspect: Width of a pixel divided by its height, above 0.

    >>> square_size((480, 720), Fraction(8, 9)), square_size((480, 720), Fraction(2))
    ((540, 720), (480, 1440))
    """
    height, width = size
    return max(height, round(height / aspect)), max(width, round(width * aspect))
