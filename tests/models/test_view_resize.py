"""Views of a batch are resized as single frames are, by Pillow, to at most one level, the same on every device."""

import numpy as np
import pytest
import torch
from PIL import Image

from uscl.clips.frame_resize import resize_frame, window_box
from uscl_plugin.datasets.transforms import view_params as columns
from uscl_plugin.models.data_preprocessors import crop_resize


def batch_of(frames, windows, flips, size):
    """A batch of frames of several sizes, zeros behind the smaller ones, and its parameters."""
    height, width = (max(frame.shape[side] for frame in frames) for side in (0, 1))
    images = torch.zeros(len(frames), frames[0].shape[2], height, width)
    params = torch.zeros(len(frames), columns.NUM_PARAMS)
    for image, row, frame, window, flip in zip(images, params, frames, windows, flips, strict=True):
        image[:, : frame.shape[0], : frame.shape[1]] = torch.from_numpy(frame.transpose(2, 0, 1).copy())
        row[columns.CROP] = torch.tensor(window)
        row[columns.FLIP], row[columns.SIZE] = flip, torch.tensor(size)
        row[columns.FRAME] = torch.tensor(frame.shape[:2])
    return images, params


def noise(size, channels, seed):
    return np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('side', [64, 112, 224])
def test_a_ragged_batch_against_pillow(side, channels):
    frames = [noise(size, channels, k) for k, size in enumerate([(256, 256), (256, 341), (256, 455), (341, 256)])]
    share = side / 224
    windows = [(0, 0, side, side)] + [
        tuple(round(share * value) for value in w) for w in [(3, 9, 200, 210), (24, 0, 200, 182), (0, 42, 224, 182)]
    ]
    flips = [0, 1, 0, 1]
    found = crop_resize(*batch_of(frames, windows, flips, (side, side)), (side, side))
    differing = 0.0
    for frame, window, flip, result in zip(frames, windows, flips, found, strict=True):
        top, left, height, width = window_box(window, (side, side), frame.shape[:2])
        corners = (left, top, left + width, top + height)
        for channel in range(channels):
            plane = Image.fromarray(np.ascontiguousarray(frame[..., channel]))
            theirs = np.asarray(plane.resize((side, side), Image.Resampling.BILINEAR, corners), float)
            ours = result[channel].numpy()[:, :: -1 if flip else 1]
            assert np.abs(ours - theirs).max() <= 1
            differing += (ours != theirs).mean() / len(frames) / channels
    assert differing < 0.02  # of noise, where many sums end on a half


@pytest.mark.parametrize('frame', [(33, 50), (2, 3), (500, 40)])
@pytest.mark.parametrize('size', [(80, 64), (1, 7)])
def test_any_size_against_pillow(frame, size):
    image = noise(frame, 1, 0)
    found = crop_resize(*batch_of([image], [(0, 0, *size)], [0], size), size)[0, 0]
    assert np.abs(found.numpy() - resize_frame(image[..., 0], size)).max() <= 1


def test_a_constant_frame_stays_and_a_checkerboard_turns_grey():
    for level in (0, 1, 254, 255):
        frame = np.full((301, 197, 1), level, np.uint8)
        assert (crop_resize(*batch_of([frame], [(5, 3, 50, 41)], [1], (64, 64)), (64, 64)) == level).all()
    board = (255 * (np.indices((256, 256)).sum(axis=0) % 2)).astype(np.uint8)[..., None]
    found = crop_resize(*batch_of([board], [(0, 0, 64, 64)], [0], (64, 64)), (64, 64))
    assert found.max() - found.min() <= 2 and abs(found.mean() - 127.5) < 1


def test_the_order_of_sums_and_the_batch_change_nothing():
    """Every sum is exact: in double precision, and beside other images, the same numbers come out."""
    frames = [noise((256, 341), 3, k) for k in range(5)]
    windows = [(k, 2 * k, 200 - k, 210 - 3 * k) for k in range(5)]
    together = crop_resize(*batch_of(frames, windows, [0, 1, 0, 1, 0], (224, 224)), (224, 224))
    for k in range(5):
        images, params = batch_of(frames[k : k + 1], windows[k : k + 1], [k % 2], (224, 224))
        wide = torch.zeros(1, 3, 300, 400)
        wide[:, :, :256, :341] = images
        assert torch.equal(crop_resize(wide, params, (224, 224))[0], together[k])
        last = images.contiguous(memory_format=torch.channels_last)
        assert torch.equal(crop_resize(last, params, (224, 224))[0], together[k])


def test_autocast_does_not_round_grey_levels():
    images, params = batch_of([noise((100, 120), 1, 0)], [(4, 5, 50, 55)], [0], (64, 64))
    with torch.autocast('cpu', torch.bfloat16):
        found = crop_resize(images, params, (64, 64))
    assert found.dtype == torch.float32 and torch.equal(found, crop_resize(images, params, (64, 64)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_gives_the_same_numbers():
    frames = [noise((256, 341), 3, k) for k in range(3)]
    images, params = batch_of(frames, [(3, 4, 190, 180)] * 3, [0, 1, 0], (224, 224))
    assert torch.equal(crop_resize(images.cuda(), params, (224, 224)).cpu(), crop_resize(images, params, (224, 224)))
