"""What a detector found in a dataset."""

from dataclasses import dataclass
from pathlib import Path

from pycocotools.coco import COCO


@dataclass(frozen=True)
class Detections:
    """A detector's predictions on a dataset, and the ground truth.

    Attributes:
        truth: The annotation file.
        image_ids: Ids of the images that the detector saw, in dataset order.
        results: One dict per prediction, as in COCO result files: ``image_id``, ``category_id``, ``score``, ``bbox``
            (x, y, width, height; pixels of the image as stored) and, if ``has_masks``, ``segmentation`` (compressed run
            lengths).
        has_masks: Whether the detector predicts masks.
        image_root: Folder of the images.
        ann_file: Path of the annotation file.
    """

    truth: COCO
    image_ids: list[int]
    results: list[dict]
    has_masks: bool
    image_root: Path
    ann_file: Path

    @property
    def kinds(self) -> dict[str, str]:
        """What can be compared with the ground truth: name → name in the COCO evaluation."""
        return {'box': 'bbox', 'mask': 'segm'} if self.has_masks else {'box': 'bbox'}
