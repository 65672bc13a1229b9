"""Findings of a detector as a data set of lesions, for people to correct in an annotation tool."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from uscl.core.atomic_files import write_atomically, write_text
from uscl.core.errors import SourceError
from uscl.data.png_frames import write_png

from .lesion_detector import Lesion
from .overlays import OverlayWriter


class PreAnnotationWriter(OverlayWriter):
    """Writes ``DIR/images/CLIP_0001.png``, …, and ``DIR/annotations/findings.json``, a COCO file.

    CVAT and Label Studio read them; so does ``uscl finetune DIR --task detect``, with the checks of
    :func:`uscl.data.coco_file.read_coco`. Masks become polygons, which these tools can edit. ``score`` is an extra key
    of annotations, and ``patient_id`` of images: the clip stands for the patient, so that its frames stay together.

    Args:
        folder: Created if needed.
        classes: Names of the categories, numbered from 1.
        source: What made the findings, for the file's ``info``.

    Raises:
        SourceError: The folder holds annotations, which somebody may have corrected.
    """

    def __init__(self, folder: str | Path, classes: list[str], source: str) -> None:
        super().__init__(Path(folder) / 'images')
        self._path = Path(folder) / 'annotations' / 'findings.json'
        if any(self._path.parent.glob('*.json')):
            raise SourceError(f'{self._path.parent} holds annotations, perhaps corrected ones: give another folder.', 1)
        categories = [{'id': k, 'name': name, 'supercategory': 'lesion'} for k, name in enumerate(classes, start=1)]
        info = {'description': f'Found by {source}; not corrected by a person. Not a medical device.'}
        self._content: dict[str, Any] = {
            'info': info, 'licenses': [], 'images': [], 'annotations': [], 'categories': categories,
        }  # fmt: skip
        self._numbers = {name: number for number, name in enumerate(classes, start=1)}

    def write(self) -> Path:
        """Write the annotation file; returns its path."""
        write_text(self._path, json.dumps(self._content, ensure_ascii=False) + '\n')
        return self._path

    def _draw(self, stem: str, number: int, frame: np.ndarray, lesions: list[Lesion]) -> None:
        name = f'{stem}_{number:04d}.png'
        write_atomically(self.folder / name, lambda temporary: write_png(temporary, frame))
        images, annotations = self._content['images'], self._content['annotations']
        size = {'width': frame.shape[1], 'height': frame.shape[0]}
        images.append({'id': len(images) + 1, 'file_name': name, **size, 'patient_id': f'clip {stem}'})
        for lesion in lesions:
            if min(lesion.box[2:]) < 1:  # nothing to see, and a fault in a COCO file
                continue
            entry = {
                'id': len(annotations) + 1,
                'image_id': len(images),
                'category_id': self._numbers[lesion.kind],
                'bbox': [round(side, 2) for side in lesion.box],
                'area': round(lesion.box[2] * lesion.box[3], 2),
                'iscrowd': 0,
                'score': round(lesion.score, 4),
            }
            if lesion.mask is not None:
                outlines = [outline for outline in lesion.outlines or () if len(outline) >= 3]
                polygons: list[list[float]] = [[side for point in outline for side in point] for outline in outlines]
                entry |= {'segmentation': polygons or [_rectangle(lesion.box)]}
                entry |= {'area': float(coco_mask.area(lesion.mask))} if polygons else {}
            annotations.append(entry)


def _rectangle(box: list[float]) -> list[float]:
    """For a mask that is too thin to have an outline."""
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]
