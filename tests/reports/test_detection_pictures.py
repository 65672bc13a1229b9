import io

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from uscl.reports import detection_pictures
from uscl.reports.detection_pictures import FOUND, GAP, TRUTH, WIDTH, draw_outline, side_by_side


def near(pixels, colour, tolerance=70):
    return np.abs(pixels.astype(int) - colour).max(axis=-1) < tolerance


def disc(x, y, radius, size=(200, 240)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return coco_mask.encode(np.asfortranarray(((rows - y) ** 2 + (columns - x) ** 2 <= radius**2).astype(np.uint8)))


@pytest.fixture
def image(tmp_path):
    Image.new('L', (240, 200), 90).save(tmp_path / 'a.png')
    return tmp_path / 'a.png'


def picture(*arguments):
    return np.asarray(Image.open(io.BytesIO(side_by_side(*arguments))))


@pytest.mark.parametrize('scale', [0.5, 1, 2])
@pytest.mark.parametrize('kind', ['mask', 'box'])
def test_a_line_runs_around_the_shape_and_nowhere_else(scale, kind):
    canvas = Image.new('RGB', (round(240 * scale), round(200 * scale)))
    shape = disc(100, 80, 40) if kind == 'mask' else (60, 40, 80, 80)
    assert draw_outline(canvas, shape, scale, TRUTH) == (60 * scale, 40 * scale)
    rows, columns = np.nonzero(near(np.asarray(canvas), TRUTH))
    x, y = (columns + 0.5) / scale - 100, (rows + 0.5) / scale - 80
    distance = np.hypot(x, y) if kind == 'mask' else np.maximum(abs(x), abs(y))
    assert np.abs(distance - 40).max() < 3.5 / scale + 1  # at most the width of the line
    angles = np.unique((np.degrees(np.arctan2(y, x)) // 10).astype(int))
    assert len(angles) == 36  # all around


def test_truth_is_left_and_predictions_are_right_with_their_scores(image):
    truth, found = [disc(60, 60, 30)], [(disc(180, 140, 30), 0.75), (disc(60, 150, 20), 0.31)]
    pixels = picture(image, truth, found)
    assert pixels.shape == (400, 2 * WIDTH + GAP, 3)
    left, right = pixels[:, :WIDTH], pixels[:, WIDTH + GAP :]
    assert near(left, TRUTH).sum() > 200 and near(right, FOUND).sum() > 200
    assert near(left, FOUND).sum() == 0 and near(right, TRUTH).sum() == 0
    rows, columns = np.nonzero(near(left, TRUTH))
    assert abs(columns.mean() - 120) < 3 and abs(rows.mean() - 120) < 3  # twice as large
    other = picture(image, truth, [(shape, score / 2) for shape, score in found])
    assert (other[:, :WIDTH] == left).all() and (other != pixels).any()


@pytest.mark.parametrize('place', [(0, 0), (239, 0), (239, 199), (-9, -9), (0, 230), (300, 90)])
def test_the_whole_score_stays_in_the_picture(place):
    def drawn(place):
        canvas = Image.new('RGB', (240, 200), (255, 255, 255))
        detection_pictures._write_caption(canvas, place, '0.55')
        pixels = np.asarray(canvas)
        return (pixels != 255).any(axis=-1).sum(), near(pixels, FOUND).sum()

    ground, orange = drawn((100, 100))
    assert drawn(place) == (pytest.approx(ground, rel=0.06), orange)  # the ground by a line of pixels at a border
    assert orange > 60


def test_an_empty_image_is_the_image_twice(image):
    pixels = picture(image, [], [])
    assert np.abs(pixels[:, : WIDTH - 8].astype(int) - 90).max() <= 3
    assert np.abs(pixels[:, WIDTH + GAP + 8 :].astype(int) - 90).max() <= 3


def test_an_image_that_cannot_be_read(tmp_path):
    (tmp_path / 'b.png').write_bytes(b'no image')
    assert side_by_side(tmp_path / 'b.png', [], []) is None
    assert side_by_side(tmp_path / 'none.png', [], []) is None
