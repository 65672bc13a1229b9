"""COCO annotation files of lesion images."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uscl.core.atomic_files import write_text

from .instances import LesionImage


def coco_images(images: Sequence[LesionImage], names: Sequence[str]) -> list[dict]:
    """COCO entries of images, numbered from 1; ``patient_id`` and ``label`` are extra keys, null if unknown.

    Args:
        images: N images.
        names: N file names, relative to the folder of images.
    """
    return [
        {
            'id': number,
            'file_name': name,
            'width': image.width,
            'height': image.height,
            'patient_id': image.source.patient_id,
            'label': image.label,
        }
        for number, (image, name) in enumerate(zip(images, names, strict=True), start=1)
    ]


def coco_annotations(images: Sequence[LesionImage], categories: Sequence[str]) -> list[dict]:
    """COCO entries of instances, numbered from 1, with masks as compressed run lengths.

    Args:
        images: N images, numbered from 1.
        categories: Names of the categories, numbered from 1; a single one takes all instances.
    """
    pairs = [(number, lesion) for number, image in enumerate(images, start=1) for lesion in image.lesions]
    return [
        {
            'id': number,
            'image_id': image_id,
            'category_id': 1 if len(categories) == 1 else categories.index(lesion.class_name) + 1,
            'segmentation': lesion.rle,
            'bbox': list(lesion.bbox),
            'area': lesion.area,
            'iscrowd': 0,
        }
        for number, (image_id, lesion) in enumerate(pairs, start=1)
    ]


def write_coco(
    path: Path, images: Sequence[dict], annotations: Sequence[dict], categories: Sequence[str], info: Mapping[str, Any]
) -> None:
    """Write an annotation file atomically.

    Args:
        path: The file.
        images: Entries of its images.
        annotations: Entries of instances; those of other images are left out.
        categories: Names, numbered from 1.
        info: Plain values; ``counts`` of images, negatives, patients and lesions are added.
    """
    ids = {image['id'] for image in images}
    kept = [annotation for annotation in annotations if annotation['image_id'] in ids]
    counts = {
        'images': len(images),
        'negatives': len(ids - {annotation['image_id'] for annotation in kept}),
        'patients': len({image['patient_id'] for image in images} - {None}) or None,
        'lesions': {name: sum(each['category_id'] == k for each in kept) for k, name in enumerate(categories, 1)},
    }
    document = {
        'info': {**info, 'counts': counts},
        'licenses': [],
        'images': list(images),
        'annotations': kept,
        'categories': [{'id': k, 'name': name, 'supercategory': 'lesion'} for k, name in enumerate(categories, 1)],
    }
    write_text(path, json.dumps(document, ensure_ascii=False) + '\n')
