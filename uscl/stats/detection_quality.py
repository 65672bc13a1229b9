"""How well the predictions for a single image agree with its lesions."""

from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from .detections import Detections


@dataclass(frozen=True)
class ImageQuality:
    """One image, its lesions, and its predictions above a score threshold.

    Attributes:
        image: Its entry in the annotation file.
        lesions: Annotations of the image.
        predictions: Results for the image, most confident first.
        quality: See :func:`agreement`; on masks if the detector predicts them, otherwise on boxes.
    """

    image: dict
    lesions: list[dict]
    predictions: list[dict]
    quality: float


def agreement(ious: np.ndarray) -> float:
    """Twice the summed IoU of matched pairs, divided by the number of lesions plus the number of predictions.

    Lesions and predictions are matched one to one so that the sum is largest. 1 means that every lesion has an
    identical prediction and there are no others; a missed lesion and a spurious prediction cost the same. It is 1 if
    there is neither a lesion nor a prediction, and 0 if only one kind is present. With IoUs of 0 and 1 only, it is the
    F1 score.

    Args:
        ious: (lesions, predictions) in [0, 1].

    >>> agreement(np.array([[0.8, 0.0]]))
    0.5333333333333333
    """
    if sum(ious.shape) == 0:
        return 1.0
    return float(2 * ious[linear_sum_assignment(ious, maximize=True)].sum() / sum(ious.shape))


def image_qualities(detections: Detections, score: float) -> list[ImageQuality]:
    """Score every image on its predictions of at least ``score``, in dataset order."""
    truth = detections.truth
    by_image: dict[int, list[dict]] = {image_id: [] for image_id in detections.image_ids}
    for result in sorted(detections.results, key=lambda result: -result['score']):
        if result['score'] >= score:
            by_image[result['image_id']].append(result)
    qualities = []
    for image_id, predictions in by_image.items():
        lesions = [lesion for lesion in truth.imgToAnns[image_id] if not lesion.get('iscrowd')]
        ious = np.zeros((len(lesions), len(predictions)))
        if ious.size:
            if detections.has_masks:
                shapes = [truth.annToRLE(x) for x in lesions], [x['segmentation'] for x in predictions]
            else:
                shapes = [x['bbox'] for x in lesions], [x['bbox'] for x in predictions]
            ious = np.asarray(coco_mask.iou(*shapes, [0] * len(predictions)))
        qualities.append(ImageQuality(truth.imgs[image_id], lesions, predictions, agreement(ious)))
    return qualities


def best_and_worst(qualities: list[ImageQuality], num: int) -> tuple[list[ImageQuality], list[ImageQuality]]:
    """Select at most ``num`` images of each kind to look at, none twice.

    Args:
        qualities: Qualities of all images.
        num: At least 1.

    Returns:
        The best, best first, only among images with a lesion, since an empty image without predictions shows nothing;
        and as many of the worst, worst first. Ties are broken by the most confident prediction.
    """

    def confidence(entry: ImageQuality) -> float:
        return max((x['score'] for x in entry.predictions), default=0.0)

    with_lesions = [entry for entry in qualities if entry.lesions]
    best = sorted(with_lesions, key=lambda entry: (-entry.quality, -confidence(entry)))[: min(num, len(qualities)) // 2]
    chosen = {id(entry) for entry in best}
    rest = [entry for entry in qualities if id(entry) not in chosen]
    return best, sorted(rest, key=lambda entry: (entry.quality, -confidence(entry)))[: num - num // 2]
