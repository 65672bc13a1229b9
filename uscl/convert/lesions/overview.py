"""Sheets of all images with the outlines of their instances."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as coco_mask
from scipy import ndimage

from uscl.clips.image_opening import read_frame
from uscl.core.atomic_files import write_atomically

from .instances import LesionImage
from .mask_values import EIGHT_NEIGHBOURS

COLOURS = {
    'benign': (86, 205, 233),
    'malignant': (255, 140, 40),
    'lesion': (250, 225, 80),
}  # safe for colour-blind readers
COLUMNS, ROWS = 5, 5
TILE, CAPTION, GAP, HEADER = (320, 240), 22, 8, 44  # pixels
_PAPER, _INK = (24, 26, 30), (225, 228, 232)


def write_overview(
    folder: Path, root: Path, images: Sequence[LesionImage], captions: Sequence[str], title: str
) -> list[Path]:
    """Write ``overview.jpg``, or ``overview_1.jpg`` and so on if there are several pages.

    Args:
        folder: Output folder.
        root: The source folder.
        images: N images.
        captions: N texts below them, cut off if too long.
        title: First words of the header.

    Returns:
        The files.
    """
    size = COLUMNS * ROWS
    starts = range(0, len(images), size)
    paths = []
    for number, start in enumerate(starts, start=1):
        suffix = f'_{number:0{len(str(len(starts)))}d}' if len(starts) > 1 else ''
        heading = f'{title}, page {number} of {len(starts)}' if suffix else title
        page = draw_page(root, images[start : start + size], captions[start : start + size], heading)
        paths.append(folder / f'overview{suffix}.jpg')
        write_atomically(paths[-1], partial(page.save, format='JPEG', quality=88))
    return paths


def remove_overview(folder: Path) -> None:
    """Remove the sheets of an earlier run."""
    for old in [folder / 'overview.jpg', *folder.glob('overview_[0-9]*.jpg')]:
        old.unlink(missing_ok=True)


def draw_page(root: Path, images: Sequence[LesionImage], captions: Sequence[str], title: str) -> Image.Image:
    """One sheet of at most 25 images."""
    columns = min(COLUMNS, max(len(images), 3))  # room for the header
    rows = -(-len(images) // columns)
    width = GAP + columns * (TILE[0] + GAP)
    page = Image.new('RGB', (width, HEADER + rows * (TILE[1] + CAPTION + GAP)), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, HEADER / 2), title, _INK, _font(17), anchor='lm')
    used = {lesion.class_name for image in images for lesion in image.lesions}
    right = width - GAP
    for name in reversed([name for name in COLOURS if name in used]):
        draw.text((right, HEADER / 2), name, COLOURS[name], _font(17), anchor='rm')
        right -= round(_font(17).getlength(name)) + 24
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = GAP + i % columns * (TILE[0] + GAP)
        top = HEADER + i // columns * (TILE[1] + CAPTION + GAP)
        tile = draw_tile(root, image)
        page.paste(tile, (left + (TILE[0] - tile.width) // 2, top + (TILE[1] - tile.height) // 2))
        while _font(14).getlength(caption) > TILE[0]:
            caption = caption[:-2] + '…'
        draw.text((left + TILE[0] / 2, top + TILE[1] + 2), caption, _INK, _font(14), anchor='ma')
    return page


def draw_tile(root: Path, image: LesionImage) -> Image.Image:
    """The image, no larger than a tile, with a line one or two pixels wide just inside every instance."""
    scale = min(TILE[0] / image.width, TILE[1] / image.height)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    pixels = np.array(Image.fromarray(read_frame(root / image.source.path)[0]).resize(size, Image.Resampling.LANCZOS))
    for lesion in image.lesions:
        # Box filtering, so that even a lesion of few pixels stays visible.
        whole = Image.fromarray(coco_mask.decode(lesion.rle) * np.uint8(255))
        small = np.asarray(whole.resize(size, Image.Resampling.BOX))
        inside = small >= min(128, small.max())
        pixels[inside & ~ndimage.binary_erosion(inside, EIGHT_NEIGHBOURS)] = COLOURS[lesion.class_name]
    return Image.fromarray(pixels)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont('DejaVu Sans'), size)  # comes with matplotlib
