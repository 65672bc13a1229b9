"""A page that shows how well a detector finds lesions: metrics, curves, and its best and worst images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uscl.stats.detection_quality import ImageQuality, best_and_worst, image_qualities
from uscl.stats.detection_scores import SIZES, Matches, evaluate, precision_curve
from uscl.stats.detections import Detections

from .detection_figures import detection_curves
from .detection_pictures import side_by_side
from .html_page import count, number, percent, write_page

_MAX_DRAWN = 20  # predictions per picture
_RANGES = dict(zip(SIZES, ('below 32² pixels', '32² to 96² pixels', 'above 96² pixels'), strict=True))

Rows = list[list[str]]


def write_detection_report(
    path: str | Path, detections: Detections, summary: Mapping[str, Any], facts: Mapping[str, str], num: int = 12
) -> None:
    """Write the page atomically.

    Args:
        path: The file.
        detections: Detections of one detector.
        summary: Their summary, see :func:`uscl.stats.detection_summary.summarise_detections`.
        facts: ``command``, ``config``, ``checkpoint``, ``versions``; each is optional, and other keys are listed too.
        num: Maximum number of images to show.
    """
    data, kinds = summary['data'], list(detections.kinds)
    best, worst = best_and_worst(image_qualities(detections, summary['score']), num)
    write_page(
        path,
        'detection.html',
        title='How well does the detector find lesions?',
        subtitle=f'{count(data["images"], "test image")} with {count(data["lesions"], "lesion")}',
        facts={'command': '', 'versions': ''} | dict(facts),
        data=data,
        score=f'{summary["score"]:g}',
        measures=_cards(summary),
        asked=_asked(facts, data),
        results=_results(summary, kinds),
        by_size=_by_size(summary, kinds),
        by_label=_by_label(summary, kinds) if summary['box']['by_label'] else None,
        curves=_curves(detections),
        max_drawn=_MAX_DRAWN,
        outlines='masks' if detections.has_masks else 'boxes',
        best=[(_picture(entry, detections), _caption(entry)) for entry in best],
        worst=[(_picture(entry, detections), _caption(entry)) for entry in worst],
    )


def _cards(summary: Mapping) -> list[tuple[str, str, str, str]]:
    name, at_score = ('mask' if 'mask' in summary else 'box'), f'score ≥ {summary["score"]:g}'
    found, negatives = summary[name], summary[name]['negatives']
    cards = [
        (f'{kind.capitalize()} AP50', '', percent(summary[kind]['AP50']), f'AP {percent(summary[kind]["AP"])}')
        for kind in ('box', 'mask')
        if kind in summary
    ]
    hits = f'{found["hits"]} of {summary["data"]["lesions"]} lesions, {at_score}, {name} IoU ≥ 0.5'
    cards.append(('Sensitivity', '', percent(found['sensitivity']), hits))
    note = f'{negatives["false_positives"]} in {count(negatives["images"], "image")}, {at_score}'
    value = number(negatives['false_positives_per_image'], 2)
    cards.append(('False positives per image without lesion', '', value, note))
    return cards


def _asked(facts: Mapping[str, str], data: Mapping) -> Rows:
    labels = ', '.join(f'{images} {label}' for label, images in data['images_by_label'].items())
    patients = f'of {count(data["patients"], "patient")}' if data['patients'] else 'of unknown patients'
    return [
        *([key.capitalize(), facts[key]] for key in facts if key not in ('command', 'versions')),
        ['Data', data['annotation_file']],
        ['Images', f'{data["images"]} {patients}' + (f': {labels}' if labels else '')],
        ['Lesions', f'{data["lesions"]}; {data["images_without_lesion"]} images have none'],
    ]


def _results(summary: Mapping, kinds: Sequence[str]) -> tuple[list[str], Rows]:
    measures = ('AP', 'AP50', 'AP75', 'sensitivity')
    rows = [
        [m if m.startswith('AP') else 'Sensitivity', *(percent(summary[kind][m]) for kind in kinds)] for m in measures
    ]
    per_image = [number(summary[kind]['false_positives_per_image'], 2) for kind in kinds]
    rows.append(['False positives per image', *per_image])
    rows.append(['… per image without lesion', *(_negatives(summary[kind]['negatives']) for kind in kinds)])
    return ['', *(kind.capitalize() for kind in kinds)], rows


def _negatives(found: Mapping) -> str:
    if not found['images']:
        return '– (there is none)'
    mistaken = f'{found["images_with_false_positives"]} of {found["images"]} images have any'
    return f'{number(found["false_positives_per_image"], 2)} ({mistaken})'


def _by_size(summary: Mapping, kinds: Sequence[str]) -> tuple[list[str], Rows]:
    sizes = summary['data']['lesions_by_size']
    return ['Size', 'Lesions', *(f'{kind.capitalize()} AP' for kind in kinds)], [
        [f'{size}, {_RANGES[size]}', str(sizes[size]), *(percent(summary[kind][f'AP_{size}']) for kind in kinds)]
        for size in SIZES
    ]


def _by_label(summary: Mapping, kinds: Sequence[str]) -> tuple[list[str], Rows]:
    rows = []
    for kind in kinds:
        for label, own in summary[kind]['by_label'].items():
            shares = [percent(own[name]) for name in ('AP', 'AP50', 'sensitivity')]
            counts = [str(own['images']), str(own['lesions'])]
            mistakes = number(own['false_positives_per_image'], 2)
            rows.append([f'{kind.capitalize()}, {label}', *counts, *shares, mistakes])
    return ['', 'Images', 'Lesions', 'AP', 'AP50', 'Sensitivity', 'False positives per image'], rows


def _curves(detections: Detections) -> Any:
    precision, froc = {}, {}
    for name, kind in detections.kinds.items():
        evaluation = evaluate(detections.truth, detections.results, kind, detections.image_ids)
        if curve := precision_curve(evaluation):
            precision[name], froc[name] = curve, Matches.of(evaluation).froc()
    return detection_curves(precision, froc)


def _picture(entry: ImageQuality, detections: Detections) -> bytes | None:
    if detections.has_masks:
        truth = [detections.truth.annToRLE(lesion) for lesion in entry.lesions]
    else:
        truth = [lesion['bbox'] for lesion in entry.lesions]
    key = 'segmentation' if detections.has_masks else 'bbox'
    found = [(result[key], result['score']) for result in entry.predictions[:_MAX_DRAWN]]
    return side_by_side(detections.image_root / entry.image['file_name'], truth, found)


def _caption(entry: ImageQuality) -> str:
    label = f', {entry.image["label"]}' if entry.image.get('label') else ''
    return (
        f'{entry.image["file_name"]}{label}: quality {entry.quality:.2f}, {count(len(entry.lesions), "lesion")}, '
        f'{count(len(entry.predictions), "prediction")}'
    )
