"""What the values of a mask mean.

Black and transparent pixels are background; if all other pixels have one colour, the transparency is the mask. There
are two kinds of masks:

- *black and white*: a pixel is lesion if it has at least half of the highest value (of 255 in a JPEG, whose highest
  value is not reliable). Other values are edges of smoothed or compressed lesions, or noise: up to 3 of 255, and up to
  16 if scattered.
- *numbered*: uncompressed, with values up to 31, or several colours. Each value or colour is a separate lesion, so
  lesions may touch.

Ambiguous masks are refused: areas of grey between black and white, numbers that are scattered or saved as JPEG, and
colours that blur into each other.
"""

import numpy as np
from scipy import ndimage

from uscl.core.plurals import counted

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
LARGEST_NUMBER = 31  # a mask without higher values numbers its lesions
NOISE = 3 / 255  # of the full value
_SCATTERED = 16 / 255
_REACH = 16  # pixels; JPEG spreads an edge over a colour block of this size, and smoothing should reach no farther


def number_lesions(pixels: np.ndarray, is_jpeg: bool, min_area: int) -> np.ndarray:
    """Separate the lesions in a mask of one class, as far as its values do.

    Args:
        pixels: (H, W) numbers, or (H, W, 3) uint8; 0 is background.
        is_jpeg: Whether compression has changed the values.
        min_area: Regions with fewer pixels may be lost.

    Returns:
        (H, W) integers: 0 is background, equal numbers are one lesion or several that do not touch.

    Raises:
        ValueError: The values are ambiguous.
    """
    is_exact = not is_jpeg or pixels.ndim == 2
    if pixels.ndim == 3:
        numbers = None if is_jpeg else _number_colours(pixels, min_area)
        if numbers is not None:
            return numbers
        pixels = pixels.max(axis=2)
    if not np.isfinite(pixels).all() or pixels.min(initial=0) < 0:
        raise ValueError('negative values or values that are not numbers: save it in black and white')
    highest = pixels.max(initial=0)
    if highest > LARGEST_NUMBER or (pixels != np.rint(pixels)).any():
        return _split_black_and_white(pixels, 255 if is_jpeg else highest, is_exact, min_area)
    pixels = pixels.astype(np.uint8)
    inside = pixels > 0
    counts = np.bincount(pixels[inside], minlength=LARGEST_NUMBER + 1)
    flat = np.bincount(pixels[inside & _in_flat(pixels, 2)], minlength=LARGEST_NUMBER + 1)
    large = counts >= min_area
    scattered, solid = large & (2 * flat < counts), large & (2 * flat >= counts)
    if not solid.any() and (is_jpeg or (highest <= NOISE * 255 and scattered.any())):
        return np.zeros_like(pixels)
    if scattered.any() or (is_jpeg and solid.any()):
        what = 'in a JPEG' if is_jpeg else 'scattered like noise'
        raise ValueError(f'numbers up to {highest:.0f}, {what}: save it in black and white as PNG')
    return pixels


def threshold(levels: np.ndarray, full: float, is_exact: bool, min_area: int) -> np.ndarray:
    """Which pixels have at least half of the full value.

    Args:
        levels: (H, W) numbers, 0 is background.
        full: Value inside a lesion.
        is_exact: False for colours in a JPEG, which leaves flat areas beside lesions.
        min_area: Regions with fewer pixels may be lost.

    Returns:
        (H, W) bool.

    Raises:
        ValueError: At least ``min_area`` pixels are dim, and neither noise nor the edge of a lesion (they may be a grey
            lesion), or most of the picture is grey.
    """
    lesion = levels >= full / 2
    is_edge = ndimage.maximum_filter(lesion, 2 * _REACH + 1)
    lost = ~lesion & (levels > full * NOISE)
    lost &= (_in_flat(levels, 3) & (is_exact | ~is_edge)) | (~is_edge & (levels >= full * _SCATTERED))
    grey = (levels > full * _SCATTERED) & (levels < full * (1 - _SCATTERED))
    if grey.mean() > 0.5:  # a picture, not a mask
        lost = grey
    if lost.sum() >= min_area:
        what = f'{counted(lost.sum(), "pixel")} of grey (about {np.median(levels[lost]):.0f} of {full:.0f})'
        raise ValueError(f'{what}: make them black or white, or number the lesions 1, 2, 3, …')
    return lesion


def _split_black_and_white(levels: np.ndarray, full: float, is_exact: bool, min_area: int) -> np.ndarray:
    lesion = threshold(levels, full, is_exact, min_area)
    values, counts = np.unique(levels[lesion & _in_flat(levels, 3)], return_counts=True)
    values = values[counts >= min_area]
    if len(values) > 1 and values[-1] - values[0] > full * NOISE:
        what = f'areas of grey {values[0]:.0f} and {values[-1]:.0f}'
        raise ValueError(f'{what}: make them white, or number the lesions 1, 2, 3, …')
    return lesion


def _number_colours(pixels: np.ndarray, min_area: int) -> np.ndarray | None:
    """Numbers of the colours; None if there is only grey or one colour."""
    if (pixels == pixels[..., :1]).all():
        return None
    codes = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    brightest = pixels.max(axis=2)
    noise = NOISE * 255 if brightest.max() > LARGEST_NUMBER else 0
    inside = brightest > noise
    colours, counts = np.unique(codes[inside & _in_flat(codes, 3)], return_counts=True)
    colours = colours[counts >= min_area]
    channels = colours[:, None] >> np.array([16, 8, 0]) & 255
    if len(colours) < 2 or np.ptp(channels, axis=0).max() <= noise:
        return None
    is_coloured = np.isin(codes, colours)
    if (blurred := (inside & ~is_coloured).sum()) >= min_area:
        what = f'{len(colours)} colours and {counted(blurred, "pixel")} of mixed colour'
        raise ValueError(f'{what}: save it with one colour per lesion, without smoothing or compression')
    return np.where(is_coloured, np.searchsorted(colours, codes) + 1, 0)


def _in_flat(values: np.ndarray, size: int) -> np.ndarray:
    """Which pixels lie in a square, ``size`` pixels wide, of equal values."""
    flat = ndimage.maximum_filter(values, size) == ndimage.minimum_filter(values, size)
    return ndimage.maximum_filter(flat, size, origin=size % 2 - 1)
