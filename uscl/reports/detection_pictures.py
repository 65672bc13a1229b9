"""An image with its lesions outlined, next to the same image with the predictions of a detector."""

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as coco_mask

from uscl.clips.image_opening import read_frame

TRUTH, FOUND = (86, 205, 233), (255, 140, 40)  # safe for colour-blind readers, and distinct from grey
WIDTH, MAX_HEIGHT, GAP = 480, 480, 6  # pixels, for each of the two images
_PAPER = (24, 26, 30)

# Mask: compressed run lengths at the image's size. Box: x, y, width, height in its pixels.
Shape = dict | Sequence[float]


def side_by_side(path: str | Path, truth: Sequence[Shape], found: Sequence[tuple[Shape, float]]) -> bytes | None:
    """Ground truth on the left, predictions with their scores on the right.

    Args:
        path: Path of the image.
        truth: Masks or boxes of the lesions.
        found: Masks or boxes of the predictions, with scores in [0, 1].

    Returns:
        A JPEG file; None if the image cannot be read.
    """
    try:
        image = Image.fromarray(read_frame(Path(path))[0])
    except ValueError:
        return None
    scale = min(WIDTH / image.width, MAX_HEIGHT / image.height)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    small = image.resize(size, Image.Resampling.LANCZOS)
    left, right = small.copy(), small.copy()
    for shape in truth:
        draw_outline(left, shape, scale, TRUTH)
    places = [draw_outline(right, shape, scale, FOUND) for shape, _ in found]
    for place, (_, score) in zip(places, found, strict=True):  # drawn last, so that no line crosses a number
        _write_caption(right, place, f'{score:.2f}')
    pair = Image.new('RGB', (2 * size[0] + GAP, size[1]), _PAPER)
    pair.paste(left, (0, 0))
    pair.paste(right, (size[0] + GAP, 0))
    buffer = io.BytesIO()
    pair.save(buffer, format='JPEG', quality=82)
    return buffer.getvalue()


def draw_found(frame: np.ndarray, found: Sequence[tuple[Sequence[float], dict | None, str]]) -> Image.Image:
    """A frame with what was found in it: boxes, outlines and captions.

    Args:
        frame: (H, W, 3) uint8, RGB.
        found: Box, mask if there is one, and caption of each.

    Returns:
        A picture of the frame's size, or enlarged to a width of :data:`WIDTH` pixels.
    """
    image = Image.fromarray(frame)
    scale = max(1.0, WIDTH / image.width)
    picture = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    for _, mask, _ in found:
        if mask is not None:
            draw_outline(picture, mask, scale, TRUTH)
    places = [draw_outline(picture, box, scale, FOUND) for box, _, _ in found]
    for place, (_, _, caption) in zip(places, found, strict=True):  # drawn last, so that no line crosses a number
        _write_caption(picture, place, caption)
    return picture


def draw_outline(picture: Image.Image, shape: Shape, scale: float, colour: tuple[int, int, int]) -> tuple[int, int]:
    """Draw a line three pixels wide around a mask or box.

    Args:
        picture: Image to draw on; modified in place.
        shape: Mask or box in pixels of the original.
        scale: Scale from the original to the picture.
        colour: RGB.

    Returns:
        Upper left corner of the shape in the picture, (x, y).
    """
    draw = ImageDraw.Draw(picture)
    if isinstance(shape, dict):
        mask = coco_mask.decode(shape)
        outlines = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
        for outline in outlines:
            points = [((x + 0.5) * scale, (y + 0.5) * scale) for x, y in outline[:, 0].tolist()]
            draw.line([*points, points[0]], fill=colour, width=3)
        x, y, _, _ = coco_mask.toBbox(shape).tolist()
    else:
        x, y, width, height = shape
        draw.rectangle((x * scale, y * scale, (x + width) * scale, (y + height) * scale), outline=colour, width=3)
    return round(x * scale), round(y * scale)


def _write_caption(picture: Image.Image, place: tuple[int, int], text: str) -> None:
    """Write above the shape if there is room, otherwise inside; always within the picture."""
    draw = ImageDraw.Draw(picture)
    font = ImageFont.truetype(findfont('DejaVu Sans'), 22)  # shipped with matplotlib
    _, _, width, height = draw.textbbox((0, 0), text, font=font)
    x = float(np.clip(place[0], 0, max(picture.width - width - 4, 0)))
    y = place[1] - height - 5 if place[1] >= height + 5 else place[1] + 3
    y = float(np.clip(y, 0, max(picture.height - height - 3, 0)))
    draw.rectangle((x, y, x + width + 4, y + height + 3), fill=_PAPER)
    draw.text((x + 2, y + 1), text, FOUND, font)
