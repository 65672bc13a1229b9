"""One page that shows how well a detector finds lesions: measures, curves, and its best and worst images."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from uscl.stats.detection_quality import ImageQuality, best_and_worst, image_qualities
from uscl.stats.detection_scores import SIZES, Matches, evaluate, precision_curve
from uscl.stats.detections import Detections

from .detection_figures import detection_curves
from .detection_pictures import side_by_side
from .html_report import HtmlReport

_MAX_DRAWN = 20  # predictions in a picture
_RANGES = dict(zip(SIZES, ('below 32² pixels', '32² to 96² pixels', 'above 96² pixels'), strict=True))


class _Page(HtmlReport):
    def pairs(self, items: Sequence[tuple[bytes | None, str]]) -> None:
        """Add wide pictures, two in a row where there is room, each a JPEG file with a text."""
        cells = []
        for picture, text in items:
            shown = '<p>the image cannot be read</p>'
            if picture is not None:
                data = base64.b64encode(picture).decode('ascii')
                shown = f'<img src="data:image/jpeg;base64,{data}" alt="{escape(text)}" style="width:100%">'
            cells.append(f'<figure style="margin:0">{shown}<figcaption>{escape(text)}</figcaption></figure>')
        columns = 'repeat(auto-fill,minmax(min(440px,100%),1fr))'
        grid = f'display:grid;grid-template-columns:{columns};gap:18px 16px;margin:12px 0'
        self._parts.append(f'<div style="{grid}">{"".join(cells)}</div>')


def write_detection_report(
    path: str | Path, detections: Detections, summary: Mapping[str, Any], facts: Mapping[str, str], num: int = 12
) -> None:
    """Write the page in one step.

    Args:
        path: The file.
        detections: Of one detector.
        summary: Of these, see :func:`uscl.stats.detection_summary.summarise_detections`.
        facts: ``command``, ``config``, ``checkpoint``, ``versions``; each may be absent, others are listed too.
        num: Images to show at most.
    """
    data = summary['data']
    page = _Page(
        'How well does the detector find lesions?',
        f'{_count(data["images"], "test image")} with {_count(data["lesions"], "lesion")}',
    )
    _add_cards(page, summary)
    _add_asked(page, facts, summary)
    _add_results(page, summary, list(detections.kinds))
    _add_curves(page, detections)
    _add_pictures(page, detections, summary['score'], num)
    if facts.get('versions'):
        page.heading('How this page was made')
        page.table([], [['Versions', facts['versions']]])
    page.write(path)


def _add_cards(page: HtmlReport, summary: Mapping) -> None:
    name = 'mask' if 'mask' in summary else 'box'
    found, negatives = summary[name], summary[name]['negatives']
    cards = [
        (f'{kind.capitalize()} AP50', '', percent(summary[kind]['AP50']), f'AP {percent(summary[kind]["AP"])}')
        for kind in ('box', 'mask')
        if kind in summary
    ]
    hits = f'{found["hits"]} of {summary["data"]["lesions"]} lesions, score ≥ {summary["score"]:g}, {name} IoU ≥ 0.5'
    cards.append(('Sensitivity', '', percent(found['sensitivity']), hits))
    note = f'{negatives["false_positives"]} in {_count(negatives["images"], "image")}, score ≥ {summary["score"]:g}'
    value = negatives['false_positives_per_image']
    cards.append(('False positives per image without lesion', '', _number(value), note))
    page.cards(cards)


def _add_asked(page: HtmlReport, facts: Mapping[str, str], summary: Mapping) -> None:
    page.heading('What was asked')
    if 'command' in facts:
        page.code(facts['command'])
    data = summary['data']
    labels = ', '.join(f'{count} {label}' for label, count in data['images_by_label'].items())
    patients = f'of {_count(data["patients"], "patient")}' if data['patients'] else 'of unknown patients'
    rows = [[key.capitalize(), facts[key]] for key in facts if key not in ('command', 'versions')]
    rows += [
        ['Data', data['annotation_file']],
        ['Images', f'{data["images"]} {patients}' + (f': {labels}' if labels else '')],
        ['Lesions', f'{data["lesions"]}; {data["images_without_lesion"]} images have none'],
    ]
    page.table([], rows)
    page.paragraph(
        f'One lesion more or less that is found moves the sensitivity by {100 / max(data["lesions"], 1):.1f} points: '
        'small differences between detectors mean nothing here unless several seeds or splits agree.'
    )


def _add_results(page: HtmlReport, summary: Mapping, kinds: Sequence[str]) -> None:
    score = summary['score']
    page.heading('Results')
    page.paragraph(
        'AP is the mean precision over recalls, for IoU thresholds from 0.5 to 0.95 (COCO); AP50 and AP75 are at one '
        f'threshold. AP needs no score threshold; all else counts predictions with a score of at least {score:g}. A '
        'prediction hits a lesion if their IoU is at least 0.5 and no more confident one has hit it; all others are '
        'false positives.'
    )
    measures = ('AP', 'AP50', 'AP75', 'sensitivity')
    rows = [
        [m if m.startswith('AP') else 'Sensitivity', *(percent(summary[kind][m]) for kind in kinds)] for m in measures
    ]
    rows.append(['False positives per image', *(_number(summary[k]['false_positives_per_image']) for k in kinds)])
    rows.append(['… per image without lesion', *(_negatives(summary[kind]['negatives']) for kind in kinds)])
    page.table(['', *(kind.capitalize() for kind in kinds)], rows)
    page.subheading('By size of the lesion (area of its mask, pixels of the image as stored)')
    sizes = summary['data']['lesions_by_size']
    page.table(
        ['Size', 'Lesions', *(f'{kind.capitalize()} AP' for kind in kinds)],
        [
            [f'{size}, {_RANGES[size]}', str(sizes[size]), *(percent(summary[k][f'AP_{size}']) for k in kinds)]
            for size in SIZES
        ],
    )
    page.paragraph('– : not defined, no lesion is of that kind.')
    if not summary['box']['by_label']:
        return
    page.subheading('By label of the image')
    header = ['', 'Images', 'Lesions', 'AP', 'AP50', 'Sensitivity', 'False positives per image']
    rows = []
    for kind in kinds:
        for label, own in summary[kind]['by_label'].items():
            shares = [percent(own[name]) for name in ('AP', 'AP50', 'sensitivity')]
            counts = [str(own['images']), str(own['lesions'])]
            rows.append([f'{kind.capitalize()}, {label}', *counts, *shares, _number(own['false_positives_per_image'])])
    page.table(header, rows)
    page.paragraph('Each row looks at the images of that label alone.')


def _negatives(found: Mapping) -> str:
    if not found['images']:
        return '– (there is none)'
    return (
        f'{_number(found["false_positives_per_image"])} ({found["images_with_false_positives"]} of {found["images"]} '
        'images have any)'
    )


def _add_curves(page: HtmlReport, detections: Detections) -> None:
    page.heading('Curves at IoU 0.5')
    precision, froc = {}, {}
    for name, kind in detections.kinds.items():
        evaluation = evaluate(detections.truth, detections.results, kind, detections.image_ids)
        if curve := precision_curve(evaluation):
            precision[name], froc[name] = curve, Matches.of(evaluation).froc()
    page.figure(
        detection_curves(precision, froc),
        'Left: COCO’s interpolated precision, at each recall the highest that is reached there or beyond. Right: share '
        'of the lesions that are hit by false positives per image, over all images; both grow as the score threshold '
        'falls. At most 100 predictions an image.',
        'Precision by recall, and sensitivity by false positives per image',
    )


def _add_pictures(page: _Page, detections: Detections, score: float, num: int) -> None:
    best, worst = best_and_worst(image_qualities(detections, score), num)
    name = 'masks' if detections.has_masks else 'boxes'
    page.heading('Images')
    page.paragraph(
        f'Left, blue: the truth; right, orange: predictions with a score of at least {score:g} (the '
        f'{_MAX_DRAWN} most confident). Quality of an image: '
        f'lesions and predictions are paired one to one so that the sum of the IoUs of their {name} is largest; '
        'quality is twice that sum, divided by the number of lesions plus the number of predictions. It is 1 if all '
        'agree exactly, and 0 if nothing overlaps; missed lesions and superfluous predictions lower it alike.'
    )
    for title, entries in (('The best images with a lesion', best), ('The worst images', worst)):
        if entries:
            page.subheading(title)
            page.pairs([(_picture(entry, detections), _caption(entry)) for entry in entries])


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
        f'{entry.image["file_name"]}{label}: quality {entry.quality:.2f}, {_count(len(entry.lesions), "lesion")}, '
        f'{_count(len(entry.predictions), "prediction")}'
    )


def percent(value: float | None) -> str:
    """A share in per cent, or a dash where it is not defined."""
    return '–' if value is None else f'{100 * value:.1f}\u00a0%'


def _number(value: float | None) -> str:
    return '–' if value is None else f'{value:.2f}'


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}' + ('' if number == 1 else 's')
