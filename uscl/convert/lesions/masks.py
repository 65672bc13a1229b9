"""Read masks; :mod:`uscl.convert.lesions.mask_values` defines what their values mean."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from uscl.clips.image_opening import open_header, open_image
from uscl.core.plurals import counted

from .mask_values import EIGHT_NEIGHBOURS, number_lesions, threshold


def read_mask(path: Path, min_area: int) -> np.ndarray:
    """Read a mask of one class: grey, 1-bit, palette, colour, transparency or 16-bit.

    Returns:
        (H, W) integers, see :func:`~uscl.convert.lesions.mask_values.number_lesions`.

    Raises:
        ValueError: It cannot be read, has several pages, or is ambiguous; names the file.
    """
    image = _open_mask(path)
    try:
        return number_lesions(_pixels(image), image.format == 'JPEG', min_area)
    except ValueError as error:
        raise ValueError(f'its mask {path.name} has {error}') from error


def read_colour_mask(path: Path, min_area: int) -> dict[str, np.ndarray]:
    """Read a mask in which green is benign and red is malignant; a pixel belongs to the stronger of the two.

    Returns:
        (H, W) bool for 'benign' and 'malignant'; no pixel is in both.

    Raises:
        ValueError: It cannot be read, has several pages, holds regions of neither colour, or see
            :func:`~uscl.convert.lesions.mask_values.threshold`; names the file.
    """
    image = _open_mask(path)
    try:
        values = _pixels(image)
        if values.ndim == 2:
            values = np.repeat(values[..., None], 3, axis=2)
        red, green, blue = np.moveaxis(values.astype(np.int32), 2, 0)
        lesion = threshold(values.max(axis=2), 255, image.format != 'JPEG', min_area)
        neither = lesion & ((np.abs(red - green) < 64) | (blue >= np.maximum(red, green)))
        # Where red and green touch, compression leaves a seam of mixed colour, which erosion removes.
        if neither.sum() >= min_area and ndimage.binary_erosion(neither, EIGHT_NEIGHBOURS).any():
            what = f'{counted(neither.sum(), "pixel")} neither green (benign) nor red (malignant)'
            raise ValueError(f'{what}: correct it, or convert masks of one class as pairs')
    except ValueError as error:
        raise ValueError(f'its mask {path.name} has {error}') from error
    return {'benign': lesion & (green > red), 'malignant': lesion & (green <= red)}


def _open_mask(path: Path) -> Image.Image:
    try:
        image = open_image(path)
    except ValueError as error:
        raise ValueError(f'{path.name} cannot be read ({error}): copy or download it again') from error
    with open_header(path) as again:
        pages = getattr(again, 'n_frames', 1)
    if pages > 1:
        raise ValueError(f'its mask {path.name} has {pages} pages: save one page with all lesions')
    return image


def _pixels(image: Image.Image) -> np.ndarray:
    """(H, W) of any type for one channel, else (H, W, 3) uint8; transparent pixels are black.

    Raises:
        ValueError: A palette or transparency hides values.
    """
    if image.mode[0] in 'IF':
        return np.asarray(image)
    if image.mode == 'P':
        colours = np.asarray(image.convert('RGBA')).view(np.uint32)
        if len(np.unique(colours)) < len(np.unique(np.asarray(image))):
            raise ValueError('a palette with one colour for several values: give each value its own colour')
    if 'A' in image.getbands() or 'transparency' in image.info:
        pixels = np.asarray(image.convert('RGBA'))
        alpha = pixels[..., 3]
        several = np.ptp(pixels[alpha > 0] if alpha.any() else pixels.reshape(-1, 4), axis=0)[:3].any()
        if several and not alpha.any():
            raise ValueError('colours, but is fully transparent: save it without transparency')
        if np.ptp(alpha) and not several:
            return alpha
        black = Image.new('RGBA', image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert('RGBA'))
    return np.asarray(image.convert('L' if image.mode in ('1', 'L') else 'RGB'))
