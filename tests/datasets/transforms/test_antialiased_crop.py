"""Crops follow the released ranges whatever the shape of the frame, and are resized in one step."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from uscl.clips.frame_resize import resize_frame, window_box
from uscl_plugin.datasets.transforms import (
    AntialiasedRandomResizedCrop,
    AntialiasedResize,
    DrawViews,
    PackFrames,
    collate_frames,
)
from uscl_plugin.datasets.transforms import view_params as columns
from uscl_plugin.datasets.transforms.antialiased_crop import CropWindow
from uscl_plugin.models.data_preprocessors import make_views

RELEASED = ((0.8, 1.0), (0.8, 1.25))


def windows(count, size=(224, 224)):
    np.random.seed(0)
    window = CropWindow(size, *RELEASED)
    return np.array([window.draw(size) for _ in range(count)])


def test_windows_are_those_of_the_released_code():
    """torchvision's ``RandomResizedCrop``, which it uses on the square."""
    torchvision = pytest.importorskip('torchvision')
    torch.manual_seed(0)
    square = torch.zeros(1, 224, 224)
    theirs = np.array([torchvision.transforms.RandomResizedCrop.get_params(square, *RELEASED) for _ in range(6000)])
    ours = windows(6000)
    for column in range(4):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 1e-3, column
    areas, ratios = ours[:, 2] * ours[:, 3] / 224**2, ours[:, 3] / ours[:, 2]
    assert areas.min() > 0.79 and ratios.min() > 0.79 and ratios.max() < 1.26
    assert areas.min() < 0.81 and areas.max() == 1 and ratios.min() < 0.82 and ratios.max() > 1.22


def test_no_frame_is_left_with_a_fixed_crop():
    """On a frame of 16:9, all 6,000 windows would be the central one; on the square, one in 500 is the whole."""
    drawn, counts = np.unique(windows(6000), axis=0, return_counts=True)
    assert len(drawn) > 5000
    whole = counts[(drawn == (0, 0, 224, 224)).all(axis=1)]
    assert whole.sum() <= 0.005 * 6000 and counts.max() <= 0.005 * 6000
    left = [window_box(window, (224, 224), (256, 455))[1::2] for window in drawn]
    assert min(start for start, _ in left) == 0 and max(start + width for start, width in left) == pytest.approx(455)


def stripes(size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize('size', [(256, 455), (341, 256)])
def test_what_is_cut_out(size):
    img = stripes(size)
    crop = AntialiasedRandomResizedCrop(64)
    np.random.seed(3)
    results = crop(dict(img=img, img_shape=size))
    np.random.seed(3)
    top, left, height, width = CropWindow(64, *RELEASED).draw((64, 64))
    y, x = size[0] / 64, size[1] / 64
    expected = resize_frame(img, (64, 64), (top * y, left * x, height * y, width * x))
    np.testing.assert_array_equal(results['img'], expected)
    assert results['img_shape'] == (64, 64)


def test_without_a_crop_it_is_the_resize():
    img = stripes((100, 170))
    resized = AntialiasedResize((32, 48))(dict(img=img))
    assert resized['img'].shape == (32, 48, 3) and resized['img_shape'] == (32, 48)
    square = AntialiasedRandomResizedCrop(32, (1.0, 1.0), (1.0, 1.0))
    np.testing.assert_array_equal(square(dict(img=img))['img'], AntialiasedResize(32)(dict(img=img))['img'])


@pytest.mark.parametrize('side', [64, 112, 224])
def test_workers_and_device_give_the_same_crops(side):
    """Same seeds, everything else switched off: at most one level apart."""
    off = dict(flip_prob=0, degrees=0, brightness=0, contrast=0, saturation=0, hue=0)
    draw, crop = DrawViews(side, **off), AntialiasedRandomResizedCrop(side)
    for seed, size in enumerate([(256, 256), (256, 341), (256, 455), (341, 256)]):
        img = stripes(size)[..., :1]  # grey, whose jitter leaves no rounding of the hue
        np.random.seed(seed)
        batch = collate_frames([PackFrames()(draw(dict(imgs=[img])))])
        views = make_views(batch['inputs'], batch['view_params'])
        box = batch['view_params'][0, 0, columns.CROP].tolist()
        expected = resize_frame(img, (side, side), window_box(box, (side, side), size))
        assert np.abs(views[0][0].permute(1, 2, 0).numpy() - expected).max() <= 1
        np.random.seed(seed)
        assert np.array_equal(crop(dict(img=img))['img'], expected)


def test_wrong_scales_are_refused():
    for scale in (0, (1, 2, 3), (0, 4)):
        for kind in (AntialiasedResize, AntialiasedRandomResizedCrop):
            with pytest.raises(ValueError, match='scale'):
                kind(scale)


def test_reprs_name_the_settings():
    assert repr(AntialiasedResize(8)) == 'AntialiasedResize(scale=(8, 8))'
    assert 'crop_ratio_range=(0.8, 1.0)' in repr(AntialiasedRandomResizedCrop(8))
