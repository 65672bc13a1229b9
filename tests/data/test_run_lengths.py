import numpy as np
import pytest
from pycocotools import mask as coco_mask

from uscl.data.run_lengths import count_pixels


def encode(mask):
    return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))['counts'].decode()


def test_they_are_those_of_the_masks():
    rng = np.random.default_rng(0)
    masks = [rng.random(rng.integers(1, 70, 2)) < share for share in rng.random(300)]
    masks += [np.zeros((3, 5)), np.ones((4, 2)), np.tri(300, 400, -350), np.arange(20).reshape(4, 5) > 9]
    expected = [(mask.sum(), mask.size) for mask in masks]
    np.testing.assert_array_equal(count_pixels([encode(mask) for mask in masks]), expected)


@pytest.mark.parametrize('text', ['', 'é', '!!', 'P', 'o', '0P', '00 ', '0\n'])
def test_what_is_no_run_length(text):
    whole = encode(np.ones((2, 3)))
    assert count_pixels([whole, text]).tolist() == [[6, 6], [-1, -1]]


def test_none():
    assert count_pixels([]).shape == (0, 2)
