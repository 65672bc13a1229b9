"""The graph's input gives the pixels that the readers and Pillow give."""

import numpy as np
import pytest
import torch

from uscl.clips.frame_preparation import prepare_clip
from uscl.clips.frame_resize import resize_frame
from uscl.convert.videos.store_settings import StoreSettings
from uscl_plugin.deployment.frame_input import FrameInput


def slow_pixels(frames, settings, size):
    """(N, 3, S, S) of frames (N, H, W, C), by OpenCV and Pillow."""
    stored = prepare_clip(np.broadcast_to(frames, (*frames.shape[:3], 3)), settings.size, settings.color)
    resized = [resize_frame(frame, (size, size)) for frame in stored]
    return np.stack(
        [np.broadcast_to(each, (3, size, size)) if each.ndim == 2 else each.transpose(2, 0, 1) for each in resized]
    )


def pixels(frames, settings, size, color=False):
    return FrameInput(settings, size)(torch.from_numpy(frames), torch.tensor([color])).numpy()


@pytest.mark.parametrize('color', ['auto', 'gray', 'color'])
@pytest.mark.parametrize(
    'shape',
    [
        (2, 30, 43, 3),
        (1, 64, 64, 1),
        (1, 7, 90, 3),
        (1, 80, 64, 1),
        (2, 128, 160, 3),
        (1, 150, 201, 3),
        (1, 300, 97, 1),
    ],
    ids=str,
)
def test_pixels_are_those_of_opencv_and_pillow(shape, color):
    settings = StoreSettings(size=64, color=color)
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    got, expected = pixels(frames, settings, 40), slow_pixels(frames, settings, 40)
    assert got.dtype == np.float32 and got.shape == expected.shape
    if min(shape[1:3]) <= 64:  # nothing is shrunk: Pillow's numbers to the last bit
        np.testing.assert_array_equal(got, expected)
    assert np.mean(got != expected) < 2e-3 and np.abs(got - expected).max() <= 1  # sums that end on a half


def test_a_clip_is_grey_if_all_of_its_frames_are():
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 200, (3, 50, 60, 1), dtype=np.uint8), 3, axis=3)
    frames[..., 0] += 30  # a tint
    settings = StoreSettings()
    grey = pixels(frames, settings, 32)
    assert np.ptp(grey, axis=1).max() == 0
    np.testing.assert_array_equal(grey, slow_pixels(frames, settings, 32))
    assert np.ptp(pixels(frames, settings, 32, color=True), axis=1).min() > 20
    frames[1, :20, :20, 1] = 255  # a Doppler box in one frame: the others stay in colour, too
    colour = pixels(frames, settings, 32)
    assert np.ptp(colour, axis=1).min() > 20
    np.testing.assert_array_equal(colour, slow_pixels(frames, settings, 32))
