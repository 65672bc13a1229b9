"""Check and repair users' own COCO annotation files in one pass, before a fault costs a training run.

pycocotools and MMDetection check nothing: they drop annotations, misread boxes, or give a perfect detector a low score.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from uscl.core.plurals import counted

from .coco_faults import REMEDIES, find_faults


def read_coco(path: str | Path, image_root: str | Path | None = None, needs_masks: bool = False) -> dict:
    """Read and check an annotation file.

    Args:
        path: Path of the file.
        image_root: Folder of the images, whose files are compared with the entries; None checks no files.
        needs_masks: Whether every annotation should have a segmentation.

    Returns:
        Its content: ``images``, ``annotations`` and ``categories`` are lists of dicts.

    Raises:
        ValueError: The file is not a COCO file or has faults; the message names the first of each kind and the remedy.
    """
    content = _parse(Path(path))
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for what, where in find_faults(content, None if image_root is None else Path(image_root), needs_masks):
        first.setdefault(what, where)
        counts[what] += 1
    if first:
        lines = [
            f'- {what}: {where[:200]}' + (f' and {counts[what] - 1} more' * (counts[what] > 1)) + f': {REMEDIES[what]}.'
            for what, where in first.items()
        ]
        raise ValueError('\n'.join([f'{path} cannot be used:', *lines]))
    return content


def repair_coco(content: dict) -> list[str]:
    """Repair unambiguous faults in place.

    Annotations are numbered from 1 if an id is below 1, because pycocotools treats annotations with id 0 as unmatched.
    A missing ``iscrowd`` becomes 0, and a missing ``area`` that of the segmentation or otherwise of the box.

    Args:
        content: Content of a COCO file without faults.

    Returns:
        The repairs, as text.
    """
    annotations, done = content['annotations'], []
    if any(annotation['id'] < 1 for annotation in annotations):
        done.append('numbered its annotations from 1, because COCO’s evaluation does not count id 0')
        for number, annotation in enumerate(annotations, start=1):
            annotation['id'] = number
    if without := [annotation for annotation in annotations if 'iscrowd' not in annotation]:
        done.append(f'set iscrowd of {counted(len(without), "annotation")} to 0')
        for annotation in without:
            annotation['iscrowd'] = 0
    if without := [annotation for annotation in annotations if 'area' not in annotation]:
        done.append(f'computed area of {counted(len(without), "annotation")}')
        sizes = {image['id']: (image['height'], image['width']) for image in content['images']}
        for annotation in without:
            annotation['area'] = _area(annotation, *sizes[annotation['image_id']])
    return done


def _area(annotation: dict, height: int, width: int) -> float:
    shape = annotation.get('segmentation')
    if not shape:
        return float(annotation['bbox'][2] * annotation['bbox'][3])
    if isinstance(shape, list):
        shape = coco_mask.merge(coco_mask.frPyObjects(shape, height, width))
    elif isinstance(shape['counts'], list):
        return float(sum(shape['counts'][1::2]))
    return float(coco_mask.area(shape))


def _parse(path: Path) -> dict:
    try:
        content: Any = json.loads(path.read_text(encoding='utf-8'))
        parts = [content[key] for key in ('images', 'annotations', 'categories')]
        if not all(isinstance(part, list) and all(isinstance(entry, dict) for entry in part) for part in parts):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        is_clusters = b'"VideoClusters"' in path.read_bytes()[:500]
        other = ' (these are video clusters, for pretraining)' if is_clusters else ''
        what = f'is not a COCO file with images, annotations and categories{other}'
        raise ValueError(f'{path} {what}: convert images and masks with `uscl convert lesions`.') from error
    return content
