"""Read images and masks, and decide which pixels are lesion.

Masks that were compressed or smoothed hold values between background and lesion. A pixel is lesion from half of the
full value on, and its class is the stronger of red and green. What such a rule would lose or invent is refused.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from uscl.clips.image_opening import open_image

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
LARGEST_INDEX = 31  # a lossless mask without higher values numbers its lesions (0, 1, 2, …)


def read_image(path: Path) -> Image.Image:
    """Decode an image completely, see :func:`uscl.clips.image_opening.open_image`.

    Raises:
        ValueError: It cannot be decoded, or is too large; names the file.
    """
    try:
        return open_image(path)
    except ValueError as error:
        raise ValueError(f'{path.name} cannot be read ({error}): is it complete?') from error


def read_binary_mask(path: Path, min_area: int) -> np.ndarray:
    """Read a mask of one class: grey, 1 bit, palette, colour (its brightest channel counts) or 16 bit.

    Returns:
        (H, W) bool, see :func:`threshold`.

    Raises:
        ValueError: It cannot be read, or see :func:`threshold`.
    """
    image = read_image(path)
    values = _pixels(image)
    levels = values.max(axis=2) if values.ndim == 3 else values
    if image.format != 'JPEG' and levels.max(initial=0) <= LARGEST_INDEX:
        return levels > 0
    # JPEG blurs, so that its highest value says nothing; other masks may be white on some scale of their own.
    return threshold(levels, 255 if image.format == 'JPEG' else levels.max(), min_area)


def read_colour_mask(path: Path, min_area: int) -> dict[str, np.ndarray]:
    """Read a mask whose green is benign and whose red is malignant.

    Returns:
        (H, W) bool for 'benign' and 'malignant'; no pixel is in both.

    Raises:
        ValueError: It cannot be read, holds regions of neither colour, or see :func:`threshold`.
    """
    image = read_image(path)
    values = _pixels(image)
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    red, green, blue = np.moveaxis(values.astype(np.int32), 2, 0)
    lesion = threshold(values.max(axis=2), 255, min_area)
    neither = lesion & ((np.abs(red - green) < 64) | (blue >= np.maximum(red, green)))
    # Where red and green touch, compression leaves a seam of mixed colour, too thin to survive erosion.
    if neither.sum() >= min_area and ndimage.binary_erosion(neither, EIGHT_NEIGHBOURS).any():
        raise ValueError(
            f'{path.name} has {neither.sum()} pixels that are neither green (benign) nor red (malignant): '
            f'correct it, or convert masks of one class as pairs'
        )
    return {'benign': lesion & (green > red), 'malignant': lesion & (green <= red)}


def threshold(levels: np.ndarray, full: float, min_area: int) -> np.ndarray:
    """Which pixels have at least half of the full value.

    Args:
        levels: (H, W) numbers, 0 is background.
        full: What a pixel inside a lesion has.
        min_area: Regions below this many pixels may be lost.

    Returns:
        (H, W) bool.

    Raises:
        ValueError: A whole region of ``min_area`` pixels is dim, at a quarter to half: a lesion in grey, maybe.
    """
    lesion = levels >= full / 2
    regions, count = ndimage.label(levels >= full / 4, EIGHT_NEIGHBOURS)
    lost = np.bincount(regions.ravel(), minlength=count + 1) >= min_area
    lost[0] = False
    lost[regions[lesion]] = False
    if lost.any():
        values = levels[lost[regions]]
        raise ValueError(
            f'its mask has {values.size} pixels of grey (about {np.median(values):.0f} of {full:.0f}) in regions of '
            f'their own, so whether they are lesion is not clear: make them black or white'
        )
    return lesion


def _pixels(image: Image.Image) -> np.ndarray:
    """(H, W) of any type for one channel, else (H, W, 3) uint8; what is transparent is black."""
    if image.mode in ('1', 'L'):
        return np.asarray(image.convert('L'))
    if image.mode[0] in 'IF':
        return np.asarray(image)
    if 'A' in image.getbands() or 'transparency' in image.info:
        black = Image.new('RGBA', image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert('RGBA'))
    return np.asarray(image.convert('RGB'))
