"""What is wrong with the entries of a COCO file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from uscl.core.relative_path import is_inside

from .run_lengths import count_pixels

_ORIENTATION = 0x0112  # in EXIF; from 5 on, the picture lies on its side
_TOLERANCE = 1  # pixels that a rounded box may leave the picture
# What is wrong → what to do.
REMEDIES = {
    'category without an id (whole number) and a name of its own': 'give each both',
    'image without an id of its own (whole number)': 'number the images',
    'image without width and height (whole numbers of pixels)': 'add them',
    'image without file_name': 'add it, relative to the folder of images',
    'file_name that another image has': 'keep one entry a file',
    'file_name or link that leads out of the folder of images': 'copy the file into it, without links',
    'image file that does not exist': 'correct file_name, data_root or data_prefix',
    'image file that cannot be opened': 'copy or download it again',
    'image file of another size than the entry says': 'convert again from the images that are there',
    'annotation without an id of its own (whole number)': 'number the annotations 1, 2, 3, …',
    'image_id that no image has': 'remove it, or add the image',
    'category_id that no category has': 'correct it, or add the category',
    'bbox that is not four numbers': 'give x, y, width, height in pixels',
    'bbox of less than a pixel': 'remove it, or give x, y, width, height in pixels',
    'bbox that leaves the image': 'give x, y, width, height, not two corners',
    'bbox of two corners, by its segmentation': 'give x, y, width, height',
    'area that is not above 0': 'leave it out, so that it is computed',
    'iscrowd that is not 0 or 1': 'leave it out for 0',
    'annotation without segmentation': 'add it, or load none: steps=dict(LoadAnnotations=dict(with_mask=False))',
    'segmentation that is neither polygons of 6 or more numbers nor run lengths': 'correct or remove it',
    'segmentation that leaves the image': 'give pixels of the image as stored',
    'segmentation of run lengths that do not fit the image': 'encode it again as [height, width] of the image',
    'segmentation without a pixel': 'remove the annotation',
}
Fault = tuple[str, str]  # a key of REMEDIES, and where


def find_faults(content: dict, root: Path | None, needs_masks: bool) -> Iterator[Fault]:
    """Look at every entry once.

    Args:
        content: Of a COCO file; ``images``, ``annotations`` and ``categories`` are lists of dicts.
        root: Folder of the images, whose files are compared with the entries; None looks at no files.
        needs_masks: Whether every annotation should have a segmentation.

    Yields:
        A key of :data:`REMEDIES`, and which image or annotation, category by category, image by image and so on.
    """
    yield from _category_faults(content['categories'])
    yield from _image_faults(content['images'], root)
    yield from _annotation_faults(content, needs_masks)


def _category_faults(categories: list[dict]) -> Iterator[Fault]:
    seen: set = set()
    for category in categories:
        number, name = category.get('id'), category.get('name')
        if type(number) is not int or not isinstance(name, str) or {number, name} & seen:
            yield 'category without an id (whole number) and a name of its own', f'{category}'
        else:
            seen |= {number, name}


def _image_faults(images: list[dict], root: Path | None) -> Iterator[Fault]:
    ids: set[int] = set()
    names: set[str] = set()
    real_root = root and root.resolve()
    for position, image in enumerate(images):
        number, name = image.get('id'), image.get('file_name')
        where = repr(name) if name else f'images[{position}]'
        if type(number) is not int or number in ids:
            yield 'image without an id of its own (whole number)', f'{where}, id {number!r}'
        else:
            ids.add(number)
        size = image.get('width'), image.get('height')
        if not all(type(side) is int and side > 0 for side in size):
            yield 'image without width and height (whole numbers of pixels)', where
        if not isinstance(name, str) or not name:
            yield 'image without file_name', where
        elif name in names:
            yield 'file_name that another image has', where
        elif not is_inside(name):
            yield 'file_name or link that leads out of the folder of images', where
        elif root and real_root:
            fault = _file_fault(root / name, real_root, size)
            if fault:
                yield fault
        names.add(name if isinstance(name, str) else '')


def _file_fault(path: Path, real_root: Path, size: tuple) -> Fault | None:
    try:
        if not path.is_file():
            return 'image file that does not exist', f'{path}'
        if not path.resolve().is_relative_to(real_root):
            return 'file_name or link that leads out of the folder of images', f'{path}'
        with Image.open(path) as image:
            found = image.size
            # Pillow would decode a PNG to look; MMDetection turns the others.
            if image.format != 'PNG' and image.getexif().get(_ORIENTATION, 1) >= 5:
                found = found[::-1]
    except Exception:  # each of Pillow's decoders has its own; a name may be impossible
        return 'image file that cannot be opened', f'{path}'
    if found != size:
        return (
            'image file of another size than the entry says',
            f'{path} ({found[0]}x{found[1]}, not {size[0]}x{size[1]})',
        )
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
            yield 'annotation without an id of its own (whole number)', where
        else:
            ids.add(number)
        if type(category) is not int or category not in categories:
            yield 'category_id that no category has', f'{where}, category_id {category!r}'
        if annotation.get('iscrowd', 0) not in (0, 1):
            yield 'iscrowd that is not 0 or 1', f'{where}, iscrowd {annotation["iscrowd"]!r}'
        if type(image_id) is not int or image_id not in image_ids:
            yield 'image_id that no image has', f'{where}, image_id {image_id!r}'
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
            yield 'segmentation of run lengths that do not fit the image', f'{where}, size {shape.get("size")}'
        elif not inside:
            yield 'segmentation without a pixel', where


def _box_faults(annotation: dict, height: int, width: int) -> Iterator[str]:
    try:
        x, y, w, h = annotation['bbox']
        if not (w >= 1 and h >= 1):  # what is not a number is neither
            yield 'bbox of less than a pixel'
        elif not (min(x, y) >= -_TOLERANCE and x + w <= width + _TOLERANCE and y + h <= height + _TOLERANCE):
            yield 'bbox that leaves the image'
    except (KeyError, TypeError, ValueError):
        yield 'bbox that is not four numbers'
    area = annotation.get('area', 1)
    if not (isinstance(area, int | float) and area > 0):
        yield 'area that is not above 0'


def _segmentation_faults(annotation: dict, shape: Any, height: int, width: int) -> Iterator[str]:
    """Of polygons, or of run lengths that are not compressed."""
    try:
        if isinstance(shape, dict):
            counts = shape['counts']
            if shape['size'] != [height, width] or min(counts) < 0 or sum(counts) != height * width:
                yield 'segmentation of run lengths that do not fit the image'
            elif not sum(counts[1::2]):
                yield 'segmentation without a pixel'
            return
        if any(len(polygon) < 6 or len(polygon) % 2 for polygon in shape):
            raise ValueError
        left, right = (pick(pick(polygon[0::2]) for polygon in shape) for pick in (min, max))
        top, bottom = (pick(pick(polygon[1::2]) for polygon in shape) for pick in (min, max))
        inside = min(left, top) >= -_TOLERANCE and right <= width + _TOLERANCE and bottom <= height + _TOLERANCE
        _, _, w, h = annotation['bbox']
        if not inside:
            yield 'segmentation that leaves the image'
        elif max(abs(w - right), abs(h - bottom)) <= _TOLERANCE and max(left, top) > 2 * _TOLERANCE:
            yield 'bbox of two corners, by its segmentation'
    except (KeyError, TypeError, ValueError):
        yield 'segmentation that is neither polygons of 6 or more numbers nor run lengths'
