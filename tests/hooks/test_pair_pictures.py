"""The picture holds the very pixels that the pipeline made, and goes nowhere but to the named backends."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import VISBACKENDS
from mmengine.runner import Runner
from mmengine.visualization import BaseVisBackend
from mmpretrain.registry import MODELS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from uscl_plugin.hooks.pair_pictures import PairPictureHook, view_sheet

GAP = 4
INPUT = dict(mean=[10.0, 120.0, 200.0], std=[30.0, 60.0, 90.0])


@VISBACKENDS.register_module(force=True)
class ServerVisBackend(BaseVisBackend):
    """Stands for W&B or MLflow."""

    experiment = None
    pictures = 0

    def _init_env(self):
        pass

    def add_config(self, config, **kwargs):
        pass

    def add_image(self, name, image, step=0, **kwargs):
        type(self).pictures += 1


def by_hand(views):
    """Views (N, 3, H, W) of red, green, blue → the sheet, pixel by pixel."""
    count, _, height, width = views[0].shape
    sheet = np.full((len(views) * (height + GAP) - GAP, count * (width + GAP) - GAP, 3), 255, np.uint8)
    for v, view in enumerate(views):
        for n in range(count):
            for y in range(height):
                for x in range(width):
                    sheet[v * (height + GAP) + y, n * (width + GAP) + x] = view[n, :, y, x]
    return sheet


@pytest.mark.parametrize('to_rgb', [True, False])
@pytest.mark.parametrize(
    'kind, num_views, settings',
    [
        ('SelfSupDataPreprocessor', 2, INPUT),
        ('SelfSupDataPreprocessor', 1, INPUT),
        ('SelfSupDataPreprocessor', 2, {}),
        ('ClsDataPreprocessor', 1, INPUT),
    ],
)
def test_pixels_are_those_of_the_pipeline_in_rgb(kind, num_views, settings, to_rgb):
    model = nn.Module()
    model.data_preprocessor = MODELS.build(dict(type=kind, to_rgb=to_rgb, **settings))
    rng = torch.Generator().manual_seed(0)
    made = [torch.randint(0, 256, (3, 3, 5, 7), generator=rng, dtype=torch.uint8) for _ in range(num_views)]
    shown = []
    backend = type('LocalVisBackend', (), {'add_image': lambda self, name, image, step: shown.append((step, image))})()
    visualizer = SimpleNamespace(_vis_backends={'a': backend})
    runner = SimpleNamespace(model=model, epoch=0, visualizer=visualizer, logger=MMLogger('pictures'))
    batch = {'inputs': made if num_views == 2 else made[0], 'data_samples': None}
    hook = PairPictureHook(interval=1, num_pairs=2)
    hook.before_train_iter(runner, 0, batch)
    model.data_preprocessor(batch, True)
    hook.after_train_iter(runner, 0, batch)
    ((step, picture),) = shown
    assert step == 1
    np.testing.assert_array_equal(picture, by_hand([view[:2].flip(1) for view in made]))  # pipelines make BGR
    assert not model.data_preprocessor._forward_hooks


def test_sheet_has_a_row_for_each_view():
    views = [torch.full((2, 3, 4, 6), value, dtype=torch.uint8) for value in (10, 20)]
    views[1][1] = 30
    sheet = view_sheet(views).numpy()
    assert sheet.shape == (12, 16, 3)
    assert (sheet[:4, :6] == 10).all() and (sheet[8:, :6] == 20).all() and (sheet[8:, 10:] == 30).all()
    assert (sheet[4:8] == 255).all() and (sheet[:, 6:10] == 255).all()


@pytest.mark.parametrize('settings', [dict(interval=-1), dict(num_pairs=0)])
def test_wrong_settings_are_named(settings):
    with pytest.raises(ValueError, match=f'^{next(iter(settings))} '):
        PairPictureHook(**settings)


@pytest.fixture(scope='module')
def weights():
    """Weights of one run, to compare with those of another."""
    return {}


@pytest.mark.parametrize('interval', [0, 2])
def test_a_run_writes_pictures_and_is_not_changed(run_config, weights, interval):
    cfg = run_config(epochs=3)
    cfg.default_hooks.pair_pictures.update(interval=interval, num_pairs=3)
    cfg.visualizer.vis_backends.append(dict(type='ServerVisBackend', save_dir='unused'))
    runner = Runner.from_cfg(cfg)
    runner.train()
    wanted = [1, 2] if interval else []
    files = sorted(Path(runner.work_dir).rglob('positive_pairs_*.png'))
    assert [path.name for path in files] == [f'positive_pairs_{epoch}.png' for epoch in wanted]
    events = EventAccumulator(str(Path(runner.log_dir) / 'vis_data'), size_guidance={'images': 0})
    events.Reload()
    shown = events.Images('positive_pairs') if interval else []
    assert [event.step for event in shown] == wanted
    for event, path in zip(shown, files, strict=True):
        picture = cv2.imdecode(np.frombuffer(event.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (2 * 32 + GAP, 3 * 32 + 2 * GAP, 3)
        np.testing.assert_array_equal(picture, cv2.imread(str(path)))
    assert ServerVisBackend.pictures == 0
    state = runner.model.state_dict()
    for name, tensor in weights.items():
        assert torch.equal(tensor, state[name]), name
    weights.update(state)
