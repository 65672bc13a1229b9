"""AP, sensitivity and false positives of detections, all from the COCO evaluation."""

from collections.abc import Collection, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SIZES = ('small', 'medium', 'large')


def evaluate(truth: COCO, results: Sequence[dict], kind: str, image_ids: Sequence[int] | None = None) -> COCOeval:
    """Match predictions to the ground truth at COCO's IoU thresholds, 0.5 to 0.95, with at most 100 per image.

    Args:
        truth: The annotations.
        results: See :class:`uscl.stats.detections.Detections`.
        kind: 'bbox' or 'segm'.
        image_ids: Images to evaluate; None: all.

    Returns:
        The evaluation, accumulated.
    """
    ids = truth.getImgIds() if image_ids is None else list(image_ids)
    # With a box present, pycocotools would use the box area as the mask's size.
    geometry = {'bbox': 'bbox', 'segm': 'segmentation'}[kind]
    entries = [{key: result[key] for key in ('image_id', 'category_id', 'score', geometry)} for result in results]
    with redirect_stdout(StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(entries) if entries else COCO(), kind)
        evaluation.params.imgIds = ids
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def average_precision(evaluation: COCOeval, iou: float | None = None, area: str = 'all') -> float | None:
    """AP: mean precision at 101 recall levels, averaged over categories.

    Args:
        evaluation: See :func:`evaluate`.
        iou: A single threshold; None averages over all ten.
        area: 'all', 'small', 'medium' or 'large'.

    Returns:
        In [0, 1]; None if there are no lesions.
    """
    params = evaluation.params
    precision = evaluation.eval['precision'][..., params.areaRngLbl.index(area), -1]  # (thresholds, recalls, classes)
    if iou is not None:
        precision = precision[np.isclose(params.iouThrs, iou)]
    defined = precision[precision > -1]
    return float(defined.mean()) if defined.size else None


def precision_curve(evaluation: COCOeval, iou: float = 0.5) -> tuple[np.ndarray, np.ndarray] | None:
    """Recalls (101,) and COCO's interpolated precisions (101,), averaged over categories; None without lesions."""
    params = evaluation.params
    precision = evaluation.eval['precision'][np.isclose(params.iouThrs, iou)][0, :, :, 0, -1]
    precision = precision[:, (precision > -1).all(axis=0)]
    return (params.recThrs, precision.mean(axis=1)) if precision.size else None


def lesions_by_size(evaluation: COCOeval) -> dict[str, int]:
    """Number of lesions in each of COCO's size ranges: area below 32² pixels, below 96², and larger."""
    params = evaluation.params
    truth = evaluation.cocoGt
    areas = [
        annotation['area']
        for annotation in truth.loadAnns(truth.getAnnIds(imgIds=params.imgIds))
        if not annotation.get('iscrowd')
    ]
    ranges = dict(zip(params.areaRngLbl, params.areaRng, strict=True))
    # As in pycocotools, an area on the boundary of two ranges counts in both.
    return {size: sum(ranges[size][0] <= area <= ranges[size][1] for area in areas) for size in SIZES}


@dataclass(frozen=True)
class Matches:
    """Predictions and whether they hit a lesion, at one IoU threshold.

    A prediction is a hit if its IoU with a lesion of its category reaches the threshold and no more confident
    prediction has already claimed that lesion.

    Attributes:
        scores: (D,) float64 in [0, 1].
        hits: (D,) bool.
        image_ids: (D,) int64.
        num_lesions: Number of lesions in all images.
        num_images: Number of images, including those without lesions or predictions.
    """

    scores: np.ndarray
    hits: np.ndarray
    image_ids: np.ndarray
    num_lesions: int
    num_images: int

    @classmethod
    def of(cls, evaluation: COCOeval, iou: float = 0.5) -> 'Matches':
        """Take COCO's matching; predictions on regions marked as crowd count neither as hits nor as errors."""
        params = evaluation.params
        threshold = int(np.flatnonzero(np.isclose(params.iouThrs, iou))[0])
        images = [e for e in evaluation.evalImgs if e is not None and e['aRng'] == params.areaRng[0]]
        scores, hits, ids = [np.zeros(0)], [np.zeros(0, bool)], [np.zeros(0, np.int64)]
        for image in images:
            counted = ~image['dtIgnore'][threshold].astype(bool)
            scores.append(np.asarray(image['dtScores'], np.float64)[counted])
            hits.append(image['dtMatches'][threshold].astype(bool)[counted])
            ids.append(np.full(counted.sum(), image['image_id'], np.int64))
        lesions = sum(int((~np.asarray(image['gtIgnore'], bool)).sum()) for image in images)
        return cls(np.concatenate(scores), np.concatenate(hits), np.concatenate(ids), lesions, len(params.imgIds))

    def num_hits(self, score: float) -> int:
        """Number of lesions hit by predictions of at least this score."""
        return int((self.hits & (self.scores >= score)).sum())

    def false_positives(self, score: float, image_ids: Collection[int] | None = None) -> np.ndarray:
        """Image ids of predictions of at least this score that hit nothing, one entry per prediction.

        Args:
            score: Threshold in [0, 1].
            image_ids: Restrict to these images; None: all.
        """
        wrong = self.image_ids[~self.hits & (self.scores >= score)]
        return wrong if image_ids is None else wrong[np.isin(wrong, list(image_ids))]

    def froc(self) -> tuple[np.ndarray, np.ndarray]:
        """Free-response ROC: false positives per image (T,) and sensitivities (T,), by decreasing score threshold.

        Predictions with equal scores enter together. The first point is (0, 0); sensitivities are NaN without lesions.
        """
        order = np.argsort(-self.scores, kind='stable')
        last = np.r_[np.diff(self.scores[order]) != 0, True][: len(order)]
        true, false = np.cumsum(self.hits[order])[last], np.cumsum(~self.hits[order])[last]
        sensitivity = np.r_[0, true] / self.num_lesions if self.num_lesions else np.full(len(true) + 1, np.nan)
        return np.r_[0, false] / max(self.num_images, 1), sensitivity
