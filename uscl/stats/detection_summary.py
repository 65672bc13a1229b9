"""The numbers for one detector on one dataset, ready for JSON."""

from collections.abc import Sequence
from typing import Any

from .detection_scores import SIZES, Matches, average_precision, evaluate, lesions_by_size
from .detections import Detections

IOU = 0.5  # required for a hit
FALSE_POSITIVES = (0.125, 0.25, 0.5, 1, 2)  # per image, at which sensitivity is reported


def summarise_detections(detections: Detections, score: float) -> dict[str, Any]:
    """AP, and what a user sees when looking at predictions of at least ``score``.

    Args:
        detections: Detections of one detector.
        score: Threshold in [0, 1].

    Returns:
        ``data`` (counts), ``score``, and for ``box`` and, with masks, ``mask``: ``AP``, ``AP50``, ``AP75``,
        ``AP_small``, ``AP_medium``, ``AP_large``, ``hits``, ``sensitivity``, ``false_positives_per_image``,
        ``negatives``, ``by_label`` and ``froc``. Undefined values are None.
    """
    ids = detections.image_ids
    groups = _by_label(detections)
    negatives = [k for k in ids if not detections.truth.getAnnIds(imgIds=[k])]
    patients = {detections.truth.imgs[k].get('patient_id') for k in ids} - {None}
    summary: dict[str, Any] = {'score': score}
    for name, kind in detections.kinds.items():
        evaluation = evaluate(detections.truth, detections.results, kind, ids)
        matches = Matches.of(evaluation, IOU)
        summary['data'] = {
            'annotation_file': str(detections.ann_file),
            'images': len(ids),
            'patients': len(patients) or None,
            'lesions': matches.num_lesions,
            'lesions_by_size': lesions_by_size(evaluation),
            'images_by_label': {label: len(group) for label, group in groups.items()},
            'images_without_lesion': len(negatives),
        }
        wrong = matches.false_positives(score, negatives)
        summary[name] = {
            **_measures(evaluation, matches, score),
            **{f'AP_{size}': average_precision(evaluation, area=size) for size in SIZES},
            'false_positives_per_image': len(matches.false_positives(score)) / len(ids) if ids else None,
            'negatives': {
                'images': len(negatives),
                'false_positives': len(wrong),
                'false_positives_per_image': len(wrong) / len(negatives) if negatives else None,
                'images_with_false_positives': len(set(wrong.tolist())),
            },
            'by_label': {label: _label(detections, kind, group, score) for label, group in groups.items()},
            'froc': _sensitivities(matches),
        }
    return summary


def _by_label(detections: Detections) -> dict[str, list[int]]:
    """Image ids by image label; images without a label are left out."""
    groups: dict[str, list[int]] = {}
    for image_id in detections.image_ids:
        if label := detections.truth.imgs[image_id].get('label'):
            groups.setdefault(str(label), []).append(image_id)
    return dict(sorted(groups.items()))


def _label(detections: Detections, kind: str, image_ids: Sequence[int], score: float) -> dict[str, Any]:
    evaluation = evaluate(detections.truth, detections.results, kind, image_ids)
    matches = Matches.of(evaluation, IOU)
    wrong = len(matches.false_positives(score))
    return {
        'images': len(image_ids),
        'lesions': matches.num_lesions,
        **_measures(evaluation, matches, score),
        'false_positives_per_image': wrong / len(image_ids),
    }


def _measures(evaluation: Any, matches: Matches, score: float) -> dict[str, Any]:
    hits = matches.num_hits(score)
    return {
        'AP': average_precision(evaluation),
        'AP50': average_precision(evaluation, 0.5),
        'AP75': average_precision(evaluation, 0.75),
        'hits': hits,
        'sensitivity': hits / matches.num_lesions if matches.num_lesions else None,
    }


def _sensitivities(matches: Matches) -> list[dict[str, float]]:
    """The highest sensitivity with at most that many false positives per image."""
    if not matches.num_lesions:
        return []
    false, sensitivity = matches.froc()
    return [
        {'false_positives_per_image': rate, 'sensitivity': float(sensitivity[false <= rate].max())}
        for rate in FALSE_POSITIVES
    ]
