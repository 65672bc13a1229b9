"""From masks to instances: connected components as COCO stores them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask
from scipy import ndimage

from uscl.clips.image_opening import is_stack, read_frame

from .lesion_sources import LesionSource
from .mask_values import EIGHT_NEIGHBOURS
from .masks import read_colour_mask, read_mask


@dataclass(frozen=True)
class Lesion:
    """One connected region.

    Attributes:
        class_name: 'benign', 'malignant', or 'lesion' if unknown.
        bbox: x, y, width, height in pixels; width is the last column minus the first plus one.
        area: Number of pixels.
        rle: COCO's compressed run lengths, ``{'size': [H, W], 'counts': str}``.
    """

    class_name: str
    bbox: tuple[int, int, int, int]
    area: int
    rle: dict


@dataclass(frozen=True)
class LesionImage:
    """An image with its instances.

    Attributes:
        source: The image and its masks.
        width: In pixels.
        height: In pixels.
        lesions: Its instances, mask by mask, in row order of their first pixel.
        specks: Number of components that were too small.
        repeats: Number of instances left out because another mask has them.
        label: The source's label, or else the class of its worst instance if masks have classes.
        changes: How it was turned upright and which levels were scaled to 8 bits, since other readers may not do that.
    """

    source: LesionSource
    width: int
    height: int
    lesions: tuple[Lesion, ...]
    specks: int
    repeats: int
    label: str | None
    changes: tuple[str, ...] = ()


def find_instances(mask: np.ndarray, class_name: str, min_area: int) -> tuple[list[Lesion], int]:
    """Split a mask into its connected components; equal pixels that touch at a corner are connected.

    Args:
        mask: (H, W) bool, or numbers of lesions; 0 is background.
        class_name: Their class.
        min_area: Components with fewer pixels are dropped.

    Returns:
        The instances, including their holes, and how many were dropped.
    """
    lesions = []
    specks = 0
    for value in np.unique(mask[mask > 0]):
        labels, _ = ndimage.label(mask == value, EIGHT_NEIGHBOURS)
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            inside = labels[rows, columns] == number
            area = int(inside.sum())
            if area < min_area:
                specks += 1
                continue
            whole = np.zeros(mask.shape, dtype=np.uint8, order='F')  # the layout that pycocotools expects
            whole[rows, columns] = inside
            rle = coco_mask.encode(whole)
            rle = {'size': [int(side) for side in rle['size']], 'counts': rle['counts'].decode('ascii')}
            bbox = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
            lesions.append(Lesion(class_name, bbox, area, rle))
    return lesions, specks


def read_lesions(root: Path, source: LesionSource, coloured: bool, min_area: int) -> LesionImage:
    """Open an image and its masks.

    Args:
        root: The source folder.
        source: The image.
        coloured: Whether colours in the mask are classes; otherwise the label is the class of all instances.
        min_area: Components with fewer pixels are dropped.

    Raises:
        ValueError: A file cannot be read, sizes differ, or the mask is ambiguous; names the file unless it is the
            image.
    """
    if is_stack(root / source.path):
        raise ValueError('it has several pages: save the one that its mask is for')
    try:
        frame, facts = read_frame(root / source.path)
    except ValueError as error:
        raise ValueError(f'{source.path.name} cannot be read ({error}): copy or download it again') from error
    height, width = frame.shape[:2]
    lesions: list[Lesion] = []
    specks = repeats = 0
    single = source.label if source.label in ('benign', 'malignant') else 'lesion'
    for path in (root / mask for mask in source.masks):
        masks = read_colour_mask(path, min_area) if coloured else {single: read_mask(path, min_area)}
        for class_name, mask in masks.items():
            if mask.shape != (height, width):
                size = f'{mask.shape[1]}x{mask.shape[0]}'
                raise ValueError(f'it has {width}x{height} pixels, its mask {path.name} {size}: make the sizes equal')
            found, dropped = find_instances(mask, class_name, min_area)
            fresh = [lesion for lesion in found if lesion not in lesions]
            repeats += len(found) - len(fresh)
            lesions += fresh
            specks += dropped
    if source.label == 'normal' and not coloured and lesions:
        raise ValueError('it is labelled normal, but its mask is not empty: correct one of them')
    label = source.label
    if label is None and coloured:
        label = max((lesion.class_name for lesion in lesions), default='normal')  # malignant is above benign
    changes = (*facts.get('rescaled', ()), *([facts['turned']] if 'turned' in facts else ()))
    return LesionImage(source, width, height, tuple(lesions), specks, repeats, label, changes)
