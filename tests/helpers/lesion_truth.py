"""Synthetic lesions as lesions_to_coco.py writes them, and predictions that are moved copies of them."""

import json

import cv2
import numpy as np
from pycocotools import mask as coco_mask

# Name → label, and ellipses (x, y, half axes) in 200 x 240 pixels.
IMAGES = {
    'a.png': ('benign', [(60, 60, 40, 30)]),
    'b.png': ('malignant', [(120, 100, 20, 12), (200, 150, 25, 20)]),
    'c.png': ('normal', []),
    'd.png': ('benign', [(100, 110, 70, 50)]),
    'e.png': ('normal', []),
    'f.png': ('malignant', [(40, 150, 9, 8)]),
}


def ellipse(x, y, a, b, size=(200, 240)):
    return cv2.ellipse(np.zeros(size, np.uint8), (x, y), (a, b), 0, 0, 360, 1, -1)


def encode(mask):
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {'size': list(rle['size']), 'counts': rle['counts'].decode()}


def write_truth(folder, categories=('lesion',)):
    """Write images/ and annotations/val.json; returns the folder."""
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    (folder / 'annotations').mkdir(exist_ok=True)
    images, annotations = [], []
    for number, (name, (label, ellipses)) in enumerate(IMAGES.items(), start=1):
        pixels = np.random.default_rng(number).integers(60, 160, (200, 240, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / 'images' / name), pixels)
        entry = dict(id=number, file_name=name, width=240, height=200, label=label, patient_id=f'p{number // 2}')
        images.append(entry)
        for shape in ellipses:
            rle = encode(ellipse(*shape))
            annotations.append(
                dict(
                    id=len(annotations) + 1, image_id=number, category_id=1, iscrowd=0, segmentation=rle,
                    bbox=coco_mask.toBbox(rle).tolist(), area=int(coco_mask.area(rle)),
                )
            )  # fmt: skip
    names = [dict(id=k, name=name) for k, name in enumerate(categories, start=1)]
    content = dict(images=images, annotations=annotations, categories=names)
    (folder / 'annotations' / 'val.json').write_text(json.dumps(content))
    return folder


def moved(truth, seed, spread=12.0, extra=1.0, lost=0.2):
    """Predictions (COCO's results): lesions moved by some pixels, a few lost, and some where nothing is."""
    rng = np.random.default_rng(seed)
    results = []
    for image_id in truth.imgs:
        masks = []
        for lesion in truth.imgToAnns[image_id]:
            shift = np.float32([[1, 0, rng.normal(0, spread)], [0, 1, rng.normal(0, spread)]])
            if rng.random() >= lost:
                masks.append(cv2.warpAffine(truth.annToMask(lesion), shift, (240, 200)))
        for _ in range(rng.poisson(extra)):
            masks.append(ellipse(int(rng.integers(30, 200)), int(rng.integers(30, 160)), 20, 15))
        for mask in masks:
            rle = encode(mask)
            score, box = float(rng.integers(1, 20)) / 20, coco_mask.toBbox(rle).tolist()  # scores are often equal
            results.append(dict(image_id=image_id, category_id=1, score=score, bbox=box, segmentation=rle))
    return results
