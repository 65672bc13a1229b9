"""Views that grow during a run."""

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmpretrain.registry import DATASETS

from uscl_plugin.datasets.pipeline_settings import (
    input_size,
    set_input_size,
    set_size_schedule,
    settle_steps,
    size_schedule,
)
from uscl_plugin.datasets.transforms import AntialiasedRandomResizedCrop, DrawViews, PackFrames, collate_frames
from uscl_plugin.datasets.transforms.size_schedule import SizeSchedule
from uscl_plugin.models.data_preprocessors import make_views

GROWING = dict(start=0.5, until=0.8)


@pytest.mark.parametrize('scale', [64, 100, 112, 224])
@pytest.mark.parametrize('start', [0.25, 0.5, 1.0])
@pytest.mark.parametrize('until', [0.3, 1.0])
def test_sides_grow_from_the_first_to_the_final_one(scale, start, until):
    schedule = SizeSchedule(scale, start, until)
    progress = np.linspace(0, 1, 501)[:-1]
    sides = np.array([schedule.at(p) for p in progress])
    assert (np.diff(sides) >= 0).all() and sides.max() == scale
    assert abs(sides[0] - start * scale) <= 8
    early = progress < until
    assert (sides[~early] == scale).all()
    assert ((sides[early] % 16 == 0) | (sides[early] == scale)).all()
    line = scale * (start + (1 - start) * progress[early] / until)
    assert (np.abs(sides[early] - line) <= 8.001).all()
    shares = schedule.shares(500)
    assert shares == {side: float((sides == side).mean()) for side in shares} and sum(shares.values()) == pytest.approx(
        1
    )


@pytest.mark.parametrize('wrong', [dict(start=0), dict(start=1.2), dict(until=0), dict(multiple=0)])
def test_settings_that_are_refused(wrong):
    with pytest.raises(ValueError, match=f'schedule: {next(iter(wrong))}'):
        AntialiasedRandomResizedCrop(64, schedule=wrong)


def test_views_that_are_not_square_cannot_grow():
    with pytest.raises(ValueError, match=r'square.*\(32, 64\)'):
        DrawViews((32, 64), schedule={})


def test_one_size_outside_of_a_run():
    image = np.zeros((90, 120, 3), np.uint8)
    crop = AntialiasedRandomResizedCrop(64, schedule=GROWING)
    for progress, side in (({}, 64), ({'progress': None}, 64), ({'progress': 0.0}, 32), ({'progress': 0.9}, 64)):
        assert crop(dict(img=image, **progress))['img'].shape[:2] == (side, side)


def test_a_growing_view_is_the_view_of_that_size():
    """Same draws, same pixels as a crop whose only size it is."""
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    for progress, side in ((0.0, 32), (0.4, 48)):
        views = []
        for crop in (AntialiasedRandomResizedCrop(64, schedule=GROWING), AntialiasedRandomResizedCrop(side)):
            np.random.seed(3)
            views.append(crop(dict(img=image, progress=progress))['img'])
        np.testing.assert_array_equal(*views)


def test_a_batch_on_the_device_grows_alike(clusters):
    pipeline = [dict(type='SampleVideoFrames'), dict(type='LoadVideoFrames', color_type='unchanged')]
    pipeline += [dict(type='DrawViews', scale=64, schedule=GROWING), dict(type='PackFrames')]
    dataset = DATASETS.build(dict(type='VideoClusterDataset', data_root=str(clusters), pipeline=pipeline))
    assert PackFrames  # registered
    for epoch, side in ((0, 32), (4, 48), (9, 64)):
        dataset.set_epoch(epoch, 0, num_epochs=10)
        batch = collate_frames([dataset[k] for k in range(3)])
        assert make_views(batch['inputs'], batch['view_params'])[0].shape[-2:] == (side, side)


def test_workers_see_the_size_of_the_epoch(clusters, run_config):
    cfg = run_config().train_dataloader.dataset
    set_input_size(cfg, 64)
    assert set_size_schedule(cfg, GROWING) and size_schedule(cfg) == GROWING and input_size(cfg) == 64
    dataset = DATASETS.build(cfg, default_args=dict(_scope_='mmpretrain'))
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=4, num_workers=1, persistent_workers=True, collate_fn=default_collate
    )
    sides = []
    for epoch in range(5):
        dataset.set_epoch(epoch, 0, num_epochs=5)
        sides.append({view.shape[-1] for batch in loader for view in batch['inputs']})
    assert sides == [{32}, {32}, {48}, {64}, {64}]  # of 32, 40, 48, 56 and 64


def test_a_pipeline_with_a_step_of_one_size_does_not_grow(run_config):
    cfg = run_config().train_dataloader.dataset
    settle_steps(cfg).append(dict(type='AntialiasedResize', scale=32))
    before = str(cfg.pipeline)
    assert not set_size_schedule(cfg, GROWING) and str(cfg.pipeline) == before and size_schedule(cfg) is None
