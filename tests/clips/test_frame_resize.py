"""Frames are resized by Pillow's antialiased filter, from a box or whole, as uint8 or float."""

import numpy as np
import pytest
from PIL import Image

from uscl.clips.frame_resize import resize_frame, window_box


def triangle_matrix(length, start, stop, size):
    """The filter written from its definition: weights fall from the centre to 0 within one pixel of the result."""
    matrix = np.zeros((size, length))
    scale = (stop - start) / size
    reach = max(scale, 1.0)
    for j in range(size):
        centre = start + (j + 0.5) * scale
        for i in range(length):
            matrix[j, i] = max(0.0, 1 - abs(i + 0.5 - centre) / reach)
    return matrix / matrix.sum(axis=1, keepdims=True)


def slow_resize(frame, size, box):
    top, left, height, width = box
    rows = triangle_matrix(frame.shape[0], top, top + height, size[0])
    columns = triangle_matrix(frame.shape[1], left, left + width, size[1])
    return np.einsum('yh,hwc,xw->yxc', rows, frame.astype(float), columns)


@pytest.mark.parametrize('channels', [1, 3, 4])
@pytest.mark.parametrize(
    ('size', 'out', 'box'),
    [
        ((64, 64), (24, 24), (0, 0, 64, 64)),
        ((97, 140), (64, 40), (3.5, 10.25, 80, 101.5)),
        ((33, 50), (80, 80), (0.1, 20, 30, 29.9)),
        ((40, 30), (1, 7), (2, 0, 38, 30)),
    ],
)
def test_against_the_definition(size, out, box, channels):
    frame = np.random.default_rng(0).integers(0, 256, (*size, channels), dtype=np.uint8)
    expected = slow_resize(frame, out, box)
    found = resize_frame(frame, out, box)
    assert found.dtype == np.uint8 and found.shape == (*out, channels)
    assert np.abs(found - expected).max() <= 1.01  # Pillow rounds twice
    floats = resize_frame(frame.astype(np.float32), out, box)
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, expected, atol=1e-3)
    np.testing.assert_array_equal(resize_frame(frame[..., 0], out, box), found[..., 0])


def test_a_checkerboard_comes_out_grey():
    board = (255 * (np.indices((256, 256)).sum(axis=0) % 2)).astype(np.uint8)
    assert np.ptp(resize_frame(board, (64, 64))) <= 2 and abs(resize_frame(board, (64, 64)).mean() - 127.5) < 1


def test_a_whole_frame_of_its_size_stays():
    frame = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize_frame(frame, (40, 30)), frame)
    np.testing.assert_array_equal(resize_frame(frame[..., ::-1], (40, 30)), frame[..., ::-1])


def test_boxes_that_rounding_takes_beyond_the_frame():
    frame = np.zeros((455, 341, 3), np.uint8)
    for side in range(1, 224):
        box = window_box((224 - side, 224 - side, side, side), (224, 224), (455, 341))
        assert resize_frame(frame, (8, 8), box).shape == (8, 8, 3)
    box = window_box((110, 110, 2, 2), (112, 112), (200, 200))
    assert box[1] + box[3] > 200
    assert resize_frame(frame[:200, :200], (8, 8), box).shape == (8, 8, 3)


@pytest.mark.parametrize('box', [(0, -1, 4, 4), (0, 0, 4, 5), (1, 0, 4, 4)])
def test_a_box_beyond_the_frame_is_refused(box):
    with pytest.raises(ValueError, match='box'):
        resize_frame(np.zeros((4, 4), np.uint8), (2, 2), box)


@pytest.mark.parametrize(
    'frame', [np.zeros((0, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16)]
)
def test_other_frames_are_refused(frame):
    with pytest.raises(ValueError, match='A frame should be'):
        resize_frame(frame, (2, 2))


def test_the_window_of_the_released_code():
    """Square first, then the window, as there: the same region, but for what interpolating twice blurs."""
    y, x = np.mgrid[0:240, 0:426] / 60
    frame = (127 + 60 * np.sin(3 * y) + 60 * np.cos(2 * x)).astype(np.uint8)
    window = (20, 31, 190, 170)
    square = Image.fromarray(frame).resize((224, 224), Image.Resampling.BILINEAR)
    top, left, height, width = window
    theirs = square.crop((left, top, left + width, top + height)).resize((224, 224), Image.Resampling.BILINEAR)
    ours = resize_frame(frame, (224, 224), window_box(window, (224, 224), frame.shape))
    assert np.abs(ours - np.asarray(theirs, float)).mean() < 1
    shifted = resize_frame(frame, (224, 224), window_box((20, 34, 190, 170), (224, 224), frame.shape))
    assert np.abs(shifted - np.asarray(theirs, float)).mean() > 2
