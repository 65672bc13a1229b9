"""Faults in the entries of a COCO file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uscl.clips.image_opening import open_header
from uscl.core.escaping import is_printable
from uscl.core.relative_path import is_inside, leads_out

from .run_lengths import count_pixels

_ORIENTATION = 0x0112  # EXIF tag; values from 5 on mean that the picture lies on its side
_TOLERANCE = 1  # pixels by which a rounded box may exceed the picture
# Fault → remedy.
REMEDIES = {
    'category without a unique id (integer) and name': 'give each category both, without control characters',
    'image without a unique id (integer)': 'number the images',
    'image without width and height (integers, in pixels)': 'add them',
    'image without file_name': 'add it, relative to the folder of images',
    'file_name used by another image': 'keep one entry per file',
    'file_name or link outside the image folder': 'copy the file into it, without links',
    'image file that does not exist': 'correct file_name, data_root or data_prefix',
    'image file that cannot be opened': 'copy or download it again',
    'image file whose size differs from its entry': 'convert again from the current images',
    'annotation without a unique id (integer)': 'number the annotations 1, 2, 3, …',
    'image_id without an image': 'remove it, or add the image',
    'category_id without a category': 'correct it, or add the category',
    'bbox that is not four numbers': 'give x, y, width, height in pixels',
    'bbox smaller than a pixel': 'remove it, or give x, y, width, height in pixels',
    'bbox outside the image': 'give x, y, width, height, not two corners',
    'bbox given as two corners, according to its segmentation': 'give x, y, width, height',
    'area not above 0': 'remove it, so that it is computed',
    'iscrowd that is not 0 or 1': 'remove it, which means 0',
    'annotation without segmentation': 'add it, or load none: steps=dict(LoadAnnotations=dict(with_mask=False))',
    'segmentation that is neither polygons of at least 6 numbers nor run lengths': 'correct or remove it',
    'segmentation outside the image': 'give coordinates in pixels of the stored image',
    'segmentation with run lengths that do not fit the image': 'encode it again as [height, width] of the image',
    'segmentation without pixels': 'remove the annotation',
}
Fault = tuple[str, str]  # a key of REMEDIES, and where


def find_faults(content: dict, root: Path | None, needs_masks: bool) -> Iterator[Fault]:
    """Check every entry once.

    Args:
        content: Content of a COCO file; ``images``, ``annotations`` and ``categories`` are lists of dicts.
        root: Folder of the images, whose files are compared with the entries; None checks no files.
        needs_masks: Whether every annotation should have a segmentation.

    Yields:
        A key of :data:`REMEDIES`, and the category, image or annotation concerned, in file order.
    """
    yield from _category_faults(content['categories'])
    yield from _image_faults(content['images'], root)
    yield from _annotation_faults(content, needs_masks)


def _category_faults(categories: list[dict]) -> Iterator[Fault]:
    seen: set = set()
    for category in categories:
        number, name = category.get('id'), category.get('name')
        if type(number) is not int or not (isinstance(name, str) and is_printable(name)) or {number, name} & seen:
            yield 'category without a unique id (integer) and name', f'{category}'
        else:
            seen |= {number, name}


def _image_faults(images: list[dict], root: Path | None) -> Iterator[Fault]:
    ids: set[int] = set()
    names: set[str] = set()
    for position, image in enumerate(images):
        number, name = image.get('id'), image.get('file_name')
        where = repr(name) if name else f'images[{position}]'
        if type(number) is not int or number in ids:
            yield 'image without a unique id (integer)', f'{where}, id {number!r}'
        else:
            ids.add(number)
        size = image.get('width'), image.get('height')
        if not all(type(side) is int and side > 0 for side in size):
            yield 'image without width and height (integers, in pixels)', where
        if not isinstance(name, str) or not name:
            yield 'image without file_name', where
        elif name in names:
            yield 'file_name used by another image', where
        elif not is_inside(name):
            yield 'file_name or link outside the image folder', where
        elif root:
            fault = _file_fault(root, name, size)
            if fault:
                yield fault
        names.add(name if isinstance(name, str) else '')


def _file_fault(root: Path, name: str, size: tuple) -> Fault | None:
    path = root / name
    try:
        if not path.is_file():
            return 'image file that does not exist', f'{path}'
        if leads_out(path, root):
            return 'file_name or link outside the image folder', f'{path}'
        with open_header(path) as image:
            found = image.size
            # Pillow would have to decode a PNG for this; MMDetection rotates the other formats.
            if image.format != 'PNG' and image.getexif().get(_ORIENTATION, 1) >= 5:
                found = found[::-1]
    except Exception:  # Pillow's decoders raise different errors; the name may be invalid
        return 'image file that cannot be opened', f'{path}'
    if found != size:
        where = f'{path} ({found[0]}x{found[1]}, not {size[0]}x{size[1]})'
        return 'image file whose size differs from its entry', where
    return None


def _annotation_faults(content: dict, needs_masks: bool) -> Iterator[Fault]:
    sizes = {
        image['id']: (image['height'], image['width'])
        for image in content['images']
        if all(type(image.get(key)) is int for key in ('id', 'height', 'width'))
    }
    image_ids = {image.get('id') for image in content['images'] if type(image.get('id')) is int}
    categories = {category.get('id') for category in content['categories'] if type(category.get('id')) is int}
    ids: set[int] = set()
    compressed: list[tuple[str, dict, tuple[int, int]]] = []
    for position, annotation in enumerate(content['annotations']):
        number, image_id, category = (annotation.get(key) for key in ('id', 'image_id', 'category_id'))
        where = f'annotations[{position}], id {number!r}'
        if type(number) is not int or number in ids:
            yield 'annotation without a unique id (integer)', where
        else:
            ids.add(number)
        if type(category) is not int or category not in categories:
            yield 'category_id without a category', f'{where}, category_id {category!r}'
        if annotation.get('iscrowd', 0) not in (0, 1):
            yield 'iscrowd that is not 0 or 1', f'{where}, iscrowd {annotation["iscrowd"]!r}'
        if type(image_id) is not int or image_id not in image_ids:
            yield 'image_id without an image', f'{where}, image_id {image_id!r}'
        elif image_id in sizes:
            faults = [*_box_faults(annotation, *sizes[image_id])]
            shape = annotation.get('segmentation')
            if isinstance(shape, dict) and isinstance(shape.get('counts'), str):
                compressed.append((where, shape, sizes[image_id]))
            elif shape:
                faults += _segmentation_faults(annotation, shape, *sizes[image_id])
            elif needs_masks:
                faults.append('annotation without segmentation')
            yield from ((what, f'{where}, bbox {annotation.get("bbox")}') for what in faults)
    pixels = count_pixels([shape['counts'] for _, shape, _ in compressed])
    for (where, shape, (height, width)), (inside, total) in zip(compressed, pixels.tolist(), strict=True):
        if shape.get('size') != [height, width] or total != height * width:
            yield 'segmentation with run lengths that do not fit the image', f'{where}, size {shape.get("size")}'
        elif not inside:
            yield 'segmentation without pixels', where


def _box_faults(annotation: dict, height: int, width: int) -> Iterator[str]:
    try:
        x, y, w, h = annotation['bbox']
        if not (w >= 1 and h >= 1):  # also rejects NaN
            yield 'bbox smaller than a pixel'
        elif not (min(x, y) >= -_TOLERANCE and x + w <= width + _TOLERANCE and y + h <= height + _TOLERANCE):
            yield 'bbox outside the image'
    except (KeyError, TypeError, ValueError):
        yield 'bbox that is not four numbers'
    area = annotation.get('area', 1)
    if not (isinstance(area, int | float) and area > 0):
        yield 'area not above 0'


def _segmentation_faults(annotation: dict, shape: Any, height: int, width: int) -> Iterator[str]:
    """Faults of polygons, or of uncompressed run lengths."""
    try:
        if isinstance(shape, dict):
            counts = shape['counts']
            if shape['size'] != [height, width] or min(counts) < 0 or sum(counts) != height * width:
                yield 'segmentation with run lengths that do not fit the image'
            elif not sum(counts[1::2]):
                yield 'segmentation without pixels'
            return
        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in shape):
            raise ValueError
        left, right = (pick(pick(polygon[0::2]) for polygon in shape) for pick in (min, max))
        top, bottom = (pick(pick(polygon[1::2]) for polygon in shape) for pick in (min, max))
        inside = min(left, top) >= -_TOLERANCE and right <= width + _TOLERANCE and bottom <= height + _TOLERANCE
        _, _, w, h = annotation['bbox']
        if not inside:
            yield 'segmentation outside the image'
        elif max(abs(w - right), abs(h - bottom)) <= _TOLERANCE and max(left, top) > 2 * _TOLERANCE:
            yield 'bbox given as two corners, according to its segmentation'
    except (KeyError, TypeError, ValueError):
        yield 'segmentation that is neither polygons of at least 6 numbers nor run lengths'
