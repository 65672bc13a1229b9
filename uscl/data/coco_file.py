"""COCO annotation files of the user's own: what is wrong with them, in one pass, before it costs a training.

pycocotools and MMDetection check nothing: they leave annotations out, read boxes as other boxes, or score a perfect
detector low.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from .coco_faults import REMEDIES, find_faults


def read_coco(path: str | Path, image_root: str | Path | None = None, needs_masks: bool = False) -> dict:
    """Read and check an annotation file.

    Args:
        path: The file.
        image_root: Folder of the images, whose files are compared with the entries; None checks no files.
        needs_masks: Whether every annotation should have a segmentation.

    Returns:
        Its content: ``images``, ``annotations`` and ``categories`` are lists of dicts.

    Raises:
        ValueError: It is no COCO file, or has faults: names the first offender of each kind and what to do.
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
    """Repair in place what has one meaning.

    Annotations are numbered from 1 if an id is below 1, since pycocotools takes an annotation of id 0 for one that no
    prediction fits. ``iscrowd`` becomes 0 and ``area`` that of the segmentation, or else of the box, where absent.

    Args:
        content: Of a COCO file without faults.

    Returns:
        What was done, in words.
    """
    annotations, done = content['annotations'], []
    if any(annotation['id'] < 1 for annotation in annotations):
        done.append('numbered its annotations from 1, as COCO’s evaluation does not count one of id 0')
        for number, annotation in enumerate(annotations, start=1):
            annotation['id'] = number
    if without := [annotation for annotation in annotations if 'iscrowd' not in annotation]:
        done.append(f'set iscrowd of {len(without)} annotations to 0')
        for annotation in without:
            annotation['iscrowd'] = 0
    if without := [annotation for annotation in annotations if 'area' not in annotation]:
        done.append(f'computed area of {len(without)} annotations')
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
        raise ValueError(
            f'{path} is not a COCO file with images, annotations and categories{other}: convert your images and masks '
            f'with tools/dataset_converters/lesions_to_coco.py KIND SRC --out DIR.'
        ) from error
    return content
