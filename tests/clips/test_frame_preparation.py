import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uscl.clips import frame_preparation
from uscl.clips.frame_preparation import is_grey, prepare_clip, prepare_frame, shrink, to_grey


def test_grey_up_to_one_percent_of_coloured_pixels():
    frame = np.full((100, 100, 3), 90, np.uint8)
    frame[0, :, 0] = 90 + 33
    assert is_grey(frame)  # 100 of 10,000 pixels
    frame[1, 0, 2] = 0
    assert not is_grey(frame)


def test_a_tint_is_grey():
    frame = np.full((10, 10, 3), (120, 100, 88), np.uint8)
    assert is_grey(frame)
    frame[..., 2] = 87
    assert not is_grey(frame)


def test_spread_does_not_wrap_around():
    assert not is_grey(np.full((4, 4, 3), (0, 255, 0), np.uint8))


def test_luma():
    frame = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [7, 7, 7]]], np.uint8)
    assert to_grey(frame).tolist() == [[76, 150, 29, 7]]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 200))
def test_shorter_side_and_aspect(height, width, size):
    small = shrink(np.zeros((height, width), np.uint8), size)
    assert min(small.shape) == min(size, height, width)
    if min(height, width) > size:
        scale = size / min(height, width)
        assert abs(max(small.shape) - max(height, width) * scale) <= 0.5
        assert (small.shape[0] <= small.shape[1]) == (height <= width) or small.shape[0] == small.shape[1]
    else:
        assert small.shape == (height, width)


def test_shrinking_averages_areas():
    frame = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    expected = frame.reshape(8, 4, 12, 4, 3).mean((1, 3))
    np.testing.assert_allclose(shrink(frame, 8), expected, atol=0.51)


def noise(share_of_colour, seed):
    """A frame (40, 60, 3) of grey noise with so many columns in colour."""
    rng = np.random.default_rng(seed)
    frame = np.repeat(rng.integers(0, 256, (40, 60, 1), np.uint8), 3, axis=2)
    frame[:, : round(share_of_colour * 60)] = 200, 60, 10
    return frame


@given(st.lists(st.sampled_from([0, 0.5]), min_size=1, max_size=5), st.sampled_from([10, 40, 99]))
def test_a_clip_is_grey_only_if_all_of_its_frames_are(shares, size):
    frames = [noise(share, k) for k, share in enumerate(shares)]
    prepared = prepare_clip(frames, size)
    channels = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames] if not any(shares) else frames
    side = min(size, 40)
    expected = [cv2.resize(frame, (side * 3 // 2, side), interpolation=cv2.INTER_AREA) for frame in channels]
    np.testing.assert_array_equal(prepared, expected)


def test_a_frame_is_made_grey_before_it_is_shrunk():
    frame = noise(0.5, 0)
    np.testing.assert_array_equal(prepare_frame(frame, 10, grey=True), shrink(to_grey(frame), 10))
    assert prepare_frame(frame, 10, grey=False).shape == (10, 15, 3)
    assert prepare_frame(frame, 40, grey=False) is frame
    assert prepare_clip([], 10) == []


def test_a_clip_that_would_fill_the_memory(monkeypatch):
    frames = [noise(0, k) for k in range(5)]
    monkeypatch.setattr(frame_preparation, 'MOST_BYTES', 5 * 10 * 15)
    assert len(prepare_clip(frames, 10)) == 5
    monkeypatch.setattr(frame_preparation, 'MOST_BYTES', 5 * 10 * 15 - 1)
    with pytest.raises(ValueError, match='more than 749 bytes'):
        prepare_clip(frames, 10)
