import base64
import io
import re
from html import unescape

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import uscl_plugin.compat.mmcv_ops  # noqa: F401
from uscl.reports.detection_report import write_detection_report
from uscl.stats.detection_summary import summarise_detections
from uscl.stats.detections import Detections

EVIL = '<script>alert(1)</script>'
FACTS = {'command': f'python {EVIL}', 'config': 'configs/c.py', 'checkpoint': 'a.pth', 'versions': 'mmcv 1'}


def square(x, y, side):
    mask = np.zeros((120, 160), np.uint8)
    mask[y : y + side, x : x + side] = 1
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {'segmentation': {'size': [120, 160], 'counts': rle['counts'].decode()}, 'bbox': [x, y, side, side]}


def detections(folder, has_masks=True, labels=('benign', EVIL, 'normal', 'normal')):
    """Four images; one lesion is found, one is not, and on one image without any something is found."""
    images = [dict(id=k, file_name=f'{k}.png', width=160, height=120, label=lb) for k, lb in enumerate(labels, start=1)]
    for image in images:
        cv2.imwrite(str(folder / image['file_name']), np.full((120, 160), 80, np.uint8))
    shapes = {1: square(20, 20, 50), 2: square(60, 50, 20)}
    truth = COCO()
    truth.dataset = dict(
        images=images,
        annotations=[
            dict(id=k, image_id=k, category_id=1, iscrowd=0, area=s['bbox'][2] ** 2, **s) for k, s in shapes.items()
        ],
        categories=[dict(id=1, name='lesion')],
    )
    truth.createIndex()
    results = [dict(image_id=k, category_id=1, score=score, **shapes[1]) for k, score in ((1, 0.9), (3, 0.8), (4, 0.1))]
    return Detections(truth, [1, 2, 3, 4], results, has_masks, folder, folder / 'val.json')


def page(folder, found, num=4):
    write_detection_report(folder / 'out' / 'page.html', found, summarise_detections(found, 0.3), FACTS, num)
    return (folder / 'out' / 'page.html').read_text(encoding='utf-8')


def rows(html):
    return [
        [unescape(re.sub('<.*?>', '', cell)).replace('\xa0', ' ') for cell in re.findall('<t[dh]>(.*?)</t[dh]>', row)]
        for row in re.findall('<tr>(.*?)</tr>', html)
    ]


def test_numbers(tmp_path):
    html = page(tmp_path, detections(tmp_path))
    table = rows(html)
    half = f'{100 * 51 / 101:.1f} %'  # recalls 0 to 0.5 at precision 1
    for row in (
        ['AP50', half, half],
        ['Sensitivity', '50.0 %', '50.0 %'],
        ['False positives per image', '0.25', '0.25'],
        ['… per image without lesion', '0.50 (1 of 2 images have any)', '0.50 (1 of 2 images have any)'],
        ['small, below 32² pixels', '1', '0.0 %', '0.0 %'],
        ['medium, 32² to 96² pixels', '1', '100.0 %', '100.0 %'],
        ['large, above 96² pixels', '0', '–', '–'],
        ['Box, benign', '1', '1', '100.0 %', '100.0 %', '100.0 %', '0.00'],
        ['Mask, normal', '2', '0', '–', '–', '–', '0.50'],
        ['Images', f'4 of unknown patients: 1 {EVIL}, 1 benign, 2 normal'],
    ):
        assert row in table
    assert '<script' not in html and 'http' not in html and 'nan' not in html.split('base64')[0].lower()
    assert '1 of 2 lesions, score ≥ 0.3, mask IoU ≥ 0.5' in html
    assert html.count('<section>') == html.count('</section>') == 5


def test_pictures_are_in_the_page_with_their_quality(tmp_path):
    html = page(tmp_path, detections(tmp_path))
    pictures = re.findall(r'data:image/jpeg;base64,([^"]+)" alt="([^"]+)"', html)
    texts = [unescape(text) for _, text in pictures]
    assert texts[0] == '1.png, benign: quality 1.00, 1 lesion, 1 prediction'
    assert texts[2] == '3.png, normal: quality 0.00, 0 lesions, 1 prediction'  # the most confident error
    assert len(texts) == 4 and len(set(texts)) == 4
    for data, _ in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert image.format == 'JPEG' and image.width == 2 * 480 + 6
    first = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0][0])))).astype(int)
    coloured = np.abs(first - 80).max(axis=-1) > 60
    assert coloured[:, :480].any() and coloured[:, 486:].any()


def test_boxes_only(tmp_path):
    html = page(tmp_path, detections(tmp_path, has_masks=False))
    assert ['', 'Box'] in rows(html) and not any('Mask' in cell for row in rows(html) for cell in row)
    assert 'Mask AP50' not in html and 'IoUs of their boxes' in html and 'box IoU ≥ 0.5' in html


@pytest.mark.parametrize('num', [1, 2])
def test_number_of_pictures(tmp_path, num):
    assert page(tmp_path, detections(tmp_path), num).count('image/jpeg') == num


def test_no_labels_and_a_missing_image(tmp_path):
    found = detections(tmp_path, labels=(None, None, None, None))
    (tmp_path / '1.png').unlink()
    html = page(tmp_path, found)
    assert 'By image label' not in html and 'the image cannot be read' in html
    assert '1.png: quality 1.00' in html
