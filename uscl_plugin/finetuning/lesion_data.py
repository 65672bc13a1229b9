"""All lesion images of a folder, divided into those to train on and those that choose the epoch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uscl.core.atomic_files import write_text
from uscl.core.digest import digest, file_digest
from uscl.core.errors import SourceError
from uscl.core.plurals import counted
from uscl.data.coco_file import read_coco
from uscl.data.patient_division import hold_back_share


@dataclass(frozen=True)
class LesionData:
    """Images with lesions.

    Attributes:
        categories: COCO's categories.
        images: COCO's images, each once, numbered from 1.
        annotations: COCO's annotations, numbered from 1.
        held_back: File names of the images that choose the epoch; empty if there are too few patients.
        digest: Of the annotation files.
    """

    categories: list[dict]
    images: list[dict]
    annotations: list[dict]
    held_back: set[str]
    digest: str

    @property
    def has_masks(self) -> bool:
        """Whether every lesion has a mask."""
        return all(lesion.get('segmentation') for lesion in self.annotations)

    def part(self, held_back: bool) -> dict[str, Any]:
        """COCO's content of one side; the image files stay where they are."""
        images = [image for image in self.images if (image['file_name'] in self.held_back) == held_back]
        ids = {image['id'] for image in images}
        lesions = [lesion for lesion in self.annotations if lesion['image_id'] in ids]
        return {'images': images, 'annotations': lesions, 'categories': self.categories}

    def count(self, held_back: bool) -> str:
        """How much one side has."""
        part = self.part(held_back)
        patients = {image.get('patient_id') for image in part['images']} - {None}
        known = f' of {counted(len(patients), "patient")}' if patients else ''
        return f'{counted(len(part["images"]), "image")}{known} ({counted(len(part["annotations"]), "lesion")})'

    def write(self, folder: Path) -> list[Path]:
        """Write ``train.json`` and, if anything is held back, ``val.json``."""
        sides = {'train.json': False} | ({'val.json': True} if self.held_back else {})
        for name, held_back in sides.items():
            write_text(folder / name, json.dumps(self.part(held_back), ensure_ascii=False) + '\n')
        return [folder / name for name in sides]


def read_lesions(folder: str | Path, val_fraction: float, seed: int) -> LesionData:
    """Join all annotation files of a folder, and hold patients back.

    Args:
        folder: Folder written by ``lesions_to_coco.py``: ``images/`` and ``annotations/*.json``, splits or folds.
        val_fraction: Fraction of the patients to hold back, in [0, 1). An image without a patient is its own.
        seed: Seed of the choice.

    Raises:
        SourceError: There are no annotation files or no lesions, or the files have other categories than each other.
        ValueError: A file is not a COCO file, or has faults.
    """
    folder = Path(folder).expanduser()
    files = sorted(folder.glob('annotations/*.json'))
    if not files:
        raise SourceError(f'{folder} has no annotations/*.json: convert the images with uscl convert lesions.')
    images: dict[str, dict] = {}
    annotations: list[dict] = []
    categories: list[dict] = []
    for path in files:
        content = read_coco(path, folder / 'images')
        categories = categories or content['categories']
        if content['categories'] != categories:
            raise SourceError(f'{path} has other categories than {files[0].name}: convert all images together.')
        new = {image['id']: image for image in content['images'] if image['file_name'] not in images}
        numbers = {old: len(images) + k for k, old in enumerate(new, start=1)}
        images |= {image['file_name']: image | {'id': numbers[old]} for old, image in new.items()}
        lesions = [lesion for lesion in content['annotations'] if lesion['image_id'] in numbers]
        annotations += [lesion | {'image_id': numbers[lesion['image_id']]} for lesion in lesions]
    annotations = [lesion | {'id': number} for number, lesion in enumerate(annotations, start=1)]
    if not annotations:
        raise SourceError(f'{folder} has no lesion in {len(images)} images: a detector needs some.')
    kinds = {lesion['image_id']: lesion['category_id'] for lesion in annotations}
    held = _hold_back(images, kinds, val_fraction, seed)
    return LesionData(categories, list(images.values()), annotations, held, digest(*map(file_digest, files)))


def _hold_back(images: Mapping[str, dict], kinds: Mapping[int, int], val_fraction: float, seed: int) -> set[str]:
    """File names; none unless there are lesions on both sides."""
    labels = {name: str(kinds.get(image['id'])) for name, image in images.items()}
    held = hold_back_share(
        [(name, labels[name], image.get('patient_id')) for name, image in images.items()], val_fraction, seed
    )
    with_lesions = {name for name, image in images.items() if image['id'] in kinds}
    return held if held & with_lesions and with_lesions - held else set()
