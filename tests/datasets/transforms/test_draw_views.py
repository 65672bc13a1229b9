"""Both ways of making pairs draw the same numbers, and the frames of a batch come together in one tensor."""

from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from scipy.stats import ks_2samp

from uscl_plugin.datasets.transforms import DrawViews, LoadVideoFrames, PackFrames, collate_frames
from uscl_plugin.datasets.transforms import view_params as columns

SIZE = (60, 84)


def frames(number, size=SIZE, channels=1):
    rng = np.random.default_rng(number)
    return [rng.integers(0, 256, (*size, channels), dtype=np.uint8) for _ in range(number)]


def item(number, size=SIZE, channels=1, **more):
    imgs = frames(number, size, channels)
    return PackFrames()(DrawViews(16)(dict(imgs=imgs, video_id=f'v{number}', gt_label=number - 1, **more)))


def drawn_by_the_transforms(monkeypatch, count, imgs, draw):
    """Rows as of DrawViews, taken from what the config's own transforms hand to mmcv."""
    from mmengine.config import Config
    from mmpretrain.registry import TRANSFORMS

    init_default_scope('mmpretrain')
    steps = Config.fromfile(
        Path(__file__).parents[3] / 'configs' / '_base_' / 'datasets' / 'spg_paper.py'
    ).spg_pipeline[2:4]
    mix, augment = (TRANSFORMS.build(step) for step in steps)
    crop, flip, _, jitter = augment.transforms
    rows = []

    whole = crop.window.draw

    def crop_window(size):
        rows.append([whole(size), 0, None, None])
        return rows[-1][0]

    monkeypatch.setattr(crop.window, 'draw', crop_window)
    choose, params = flip._choose_direction, jitter._rand_params
    monkeypatch.setattr(flip, '_choose_direction', lambda: rows[-1].__setitem__(1, choose()) or rows[-1][1])
    monkeypatch.setattr(jitter, '_rand_params', lambda: rows[-1].__setitem__(3, params()) or rows[-1][3])
    monkeypatch.setattr('mmcv.imrotate', lambda img, angle, **_: rows[-1].__setitem__(2, angle) or img)
    found, ratios = [], []
    for seed in range(count):
        rows.clear()
        np.random.seed(seed)
        ratios.append(augment(mix(dict(imgs=[np.repeat(img, 3, 2) for img in imgs])))['mix_ratios'])
        found.append([[*c, f is not None, a, *o, *factors] for c, f, a, (o, *factors) in rows])
    monkeypatch.undo()
    ours = []
    for seed in range(count):
        np.random.seed(seed)
        ours.append(draw(dict(imgs=imgs)))
    return np.array(found, np.float64), ratios, ours


@pytest.mark.filterwarnings('ignore:Only use')
def test_same_seed_same_numbers_as_the_transforms(monkeypatch):
    draw = DrawViews(224)
    found, ratios, ours = drawn_by_the_transforms(monkeypatch, 30, frames(3), draw)
    np.testing.assert_allclose([row['view_params'][:, 3:17] for row in ours], found, rtol=1e-6)
    for row, (first, second) in zip(ours, ratios, strict=True):
        assert row['mix_ratios'] == (first, second)
        expected = [[first, 1 - first, 0], [0, 1 - second, second]]
        np.testing.assert_allclose(row['view_params'][:, :3], expected, atol=1e-7)
        assert (row['view_params'][:, columns.SIZE] == 224).all()


@pytest.mark.filterwarnings('ignore:Only use')
def test_laws_of_the_draws(monkeypatch):
    """Other seeds, so that equal laws and not equal seeds make them alike."""
    draw = DrawViews(224)
    found, ratios, _ = drawn_by_the_transforms(monkeypatch, 300, frames(3), draw)
    np.random.seed(12345)
    ours = [draw(dict(imgs=frames(3))) for _ in range(300)]
    rows = np.array([row['view_params'][:, 3:17] for row in ours])
    for column in range(14):
        assert ks_2samp(rows[..., column].ravel(), found[..., column].ravel()).pvalue > 1e-3, column
    assert ks_2samp(np.ravel([row['mix_ratios'] for row in ours]), np.ravel(ratios)).pvalue > 1e-3
    assert abs(rows[..., 5]).max() <= 10 and (rows[..., 0] + rows[..., 2] <= 224).all()


@pytest.mark.parametrize('number, weights', [(1, [[1, 0, 0], [1, 0, 0]]), (2, [[1, 0, 0], [0, 1, 0]])])
def test_fewer_frames_are_not_mixed(number, weights):
    results = DrawViews(8)(dict(imgs=frames(number)))
    assert results['mix_ratios'] == () and results['view_params'][:, :3].tolist() == weights


def test_shared_ratio_and_what_is_switched_off():
    draw = DrawViews((8, 9), shared_ratio=True, brightness=0, contrast=0, saturation=0, hue=0, degrees=0, flip_prob=0)
    results = draw(dict(imgs=frames(3)))
    params = results['view_params']
    assert results['mix_ratios'][0] == results['mix_ratios'][1]
    switched = params[:, [columns.FLIP, columns.ANGLE, *range(13, 21)]]
    assert switched.tolist() == [[0, 0, 1, 1, 1, 0, 8, 9, *SIZE]] * 2


def test_frames_that_cannot_be_used():
    for imgs in ([], frames(4), [frames(1)[0], frames(1, (5, 6))[0]]):
        with pytest.raises(ValueError, match=r"DrawViews .*'v7'"):
            DrawViews(8)(dict(imgs=imgs, video_id='v7'))
    for settings in (dict(scale=0), dict(scale=(1, 2, 3)), dict(flip_prob=2), dict(degrees=-1), dict(alpha=0)):
        with pytest.raises(ValueError, match=r'should'):
            DrawViews(**{'scale': 8, **settings})


def test_a_ragged_batch_in_one_tensor():
    items = [item(3), item(1, (30, 90), 3), item(2, (70, 20))]
    batch = collate_frames(items)
    assert batch['inputs'].shape == (3, 3, 3, 70, 90) and batch['inputs'].dtype == torch.uint8
    expected = np.zeros((3, 3, 3, 70, 90), np.uint8)
    for target, packed in zip(expected, items, strict=True):
        for k, frame in enumerate(packed['inputs'][0].frames):
            target[k, :, : frame.shape[0], : frame.shape[1]] = frame.transpose(2, 0, 1)
    np.testing.assert_array_equal(batch['inputs'], expected)
    assert batch['view_params'].shape == (3, 2, columns.NUM_PARAMS)
    assert [sample.gt_label.item() for sample in batch['data_samples']] == [2, 0, 1]
    assert [sample.video_id for sample in batch['data_samples']] == ['v3', 'v1', 'v2']
    assert collate_frames([item(3), item(3)])['inputs'].shape == (2, 3, 1, *SIZE)  # all grey


def test_collate_functions_refuse_what_is_not_theirs():
    with pytest.raises(TypeError, match=r"PackFrames.*\['inputs'\].*default_collate"):
        collate_frames([dict(inputs=[torch.zeros(3, 4, 4)])])
    with pytest.raises(TypeError, match=r'collate_frames\.PlannedView'):
        default_collate([item(3), item(3)])
    with pytest.raises(ValueError, match=r"'v1' .*view_params.*DrawViews"):
        PackFrames()(dict(imgs=frames(1), video_id='v1'))


def test_frames_unchanged(tmp_path):
    load = LoadVideoFrames('unchanged')
    grey, colour = frames(1)[0][..., 0], frames(1, channels=3)[0]
    for name, img in (('grey', grey), ('colour', colour), ('alpha', np.dstack([colour, grey]))):
        cv2.imwrite(str(tmp_path / f'{name}.png'), img)
    sources = [str(tmp_path / f'{name}.png') for name in ('grey', 'colour', 'alpha')]
    found = load(dict(frames=sources, frame_inds=[0, 1, 2]))['imgs']
    for img, expected in zip(found, (grey[..., None], colour, colour), strict=True):
        np.testing.assert_array_equal(img, expected)
    assert mmcv.imread(sources[0]).shape == (*SIZE, 3)  # what 'color' makes of it
    stack = np.stack([grey] * 4)
    stack.flags.writeable = False
    for img in load(dict(frames=stack, frame_inds=[0, 3]))['imgs']:
        assert img.shape == (*SIZE, 1) and np.shares_memory(img, stack)
