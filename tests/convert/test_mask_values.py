import io

import numpy as np
import pytest
from lesion_folders import blobs
from PIL import Image
from scipy import ndimage

from uscl.convert.lesions.mask_values import number_lesions, threshold

ROWS, COLUMNS = np.mgrid[:120, :160]
DISC = (ROWS - 60) ** 2 + (COLUMNS - 70) ** 2 <= 30**2
WHITE = DISC * np.uint8(255)
FAR = blobs((100, 140, 5, 5), size=DISC.shape) > 0
NEAR = blobs((60, 101, 5, 5), size=DISC.shape) > 0  # it touches the disc
SPREAD = np.random.default_rng(0).integers(0, 4, DISC.shape, dtype=np.uint8)
HALVES = DISC[..., None] * np.where(COLUMNS[..., None] < 70, (255, 0, 0), (0, 0, 255))
TWO_COLOURS = ndimage.gaussian_filter(HALVES.astype(np.uint8), (1, 1, 0))


def through_jpeg(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, 'JPEG', quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize('is_jpeg', [True, False])  # False: saved as PNG afterwards
@pytest.mark.parametrize('quality', [10, 30, 75, 95])
def test_compression_is_not_taken_for_grey(quality, is_jpeg):
    stored = through_jpeg(WHITE, quality)
    np.testing.assert_array_equal(number_lesions(stored, is_jpeg, 20), stored >= stored.max() / 2)
    assert (number_lesions(stored, is_jpeg, 20) != DISC).mean() < 0.001


@pytest.mark.parametrize('sigma', [0.5, 1, 2, 4, 5])
@pytest.mark.parametrize('full', [255, 4095, 65535])
def test_smoothing_is_not_taken_for_grey(sigma, full):
    smooth = np.rint(ndimage.gaussian_filter(DISC * float(full), sigma)).astype(np.uint16)
    assert (number_lesions(smooth, False, 20) != DISC).mean() < 0.005
    assert (number_lesions(smooth / np.float32(full), False, 20) != DISC).mean() < 0.005


@pytest.mark.parametrize('factor', [2, 3.7, 10])
def test_enlarging_is_not_taken_for_grey(factor):
    size = round(160 * factor), round(120 * factor)
    large = np.asarray(Image.fromarray(WHITE).resize(size, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(number_lesions(large, False, 20), large >= 128)


def test_noise_is_no_lesion():
    assert not number_lesions(SPREAD, False, 20).any()
    noisy = np.where(DISC, 255 - SPREAD, SPREAD)
    np.testing.assert_array_equal(number_lesions(noisy, False, 20), DISC)


@pytest.mark.parametrize('scale', [1, 257])
@pytest.mark.parametrize('grey', [4, 10, 50, 126, 140, 200, 250])
@pytest.mark.parametrize('place', [FAR, NEAR])
def test_a_grey_lesion_is_refused_and_a_white_one_kept(place, grey, scale):
    mask = WHITE.astype(np.uint16) * scale
    mask[place] = grey * scale
    with pytest.raises(ValueError, match='grey'):
        number_lesions(mask, False, 20)
    np.testing.assert_array_equal(number_lesions(mask, False, 30) > 0, DISC | (place & (grey > 127)))  # too small
    mask[place] = 255 * scale
    np.testing.assert_array_equal(number_lesions(mask, False, 20), DISC | place)


@pytest.mark.parametrize('grey', [30, 50, 100])
@pytest.mark.parametrize('is_jpeg', [True, False])
def test_a_grey_lesion_that_was_compressed_is_refused(grey, is_jpeg):
    mask = WHITE.copy()
    mask[93:118, 118:155] = grey
    with pytest.raises(ValueError, match='of grey'):
        number_lesions(through_jpeg(mask, 75), is_jpeg, 20)


@pytest.mark.parametrize(
    ('pixels', 'is_jpeg', 'what'),
    [
        (DISC * 1, True, 'in a JPEG'),
        (SPREAD * 7, False, 'scattered like noise'),
        (WHITE // 10 + SPREAD, False, 'scattered like noise'),
        (np.where(DISC, np.nan, 0), False, 'not numbers'),
        (DISC * -1, False, 'negative values'),
        (np.random.default_rng(0).integers(20, 120, (90, 90)), False, 'grey'),
        (TWO_COLOURS, False, 'mixed colour'),
    ],
)
def test_what_is_ambiguous(pixels, is_jpeg, what):
    with pytest.raises(ValueError, match=what):
        number_lesions(pixels, is_jpeg, 9)


def test_a_small_number_is_kept_to_be_counted():
    few = blobs((5, 5, 1, 3)) // 255
    np.testing.assert_array_equal(number_lesions(few, False, 20), few)


def test_nearly_equal_colours_are_one_lesion():
    mask = DISC[..., None] * np.array([255, 0, 0], np.uint8)
    mask[50:70, 60:80] = (253, 2, 0)
    mask[:10, :10] = (0, 2, 0)  # noise
    np.testing.assert_array_equal(number_lesions(mask, False, 20), DISC)


def test_threshold_is_half():
    ramp = np.tile([0, 0, 0, 60, 127, 128, 200, 255, 255], (4, 1))
    np.testing.assert_array_equal(threshold(ramp, 255, True, 20), ramp >= 128)
