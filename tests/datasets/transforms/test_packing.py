import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope, init_default_scope

from uscl_plugin.datasets.pipeline_settings import apply_steps
from uscl_plugin.datasets.transforms import PackViews

CONFIG = Path(__file__).parents[3] / 'configs' / 'uscl' / 'spg_in_mmdet_pipeline.py'
KEYS = ('sample_idx', 'video_id', 'patient_id', 'frame_inds', 'mix_ratios')


def video(num_frames=5):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (12, 16, 3), dtype=np.uint8) for _ in range(num_frames)]
    return dict(frames=frames, video_id='v', patient_id='p', sample_idx=3)


@pytest.fixture
def mmdet_pipeline():
    """The pipeline's settings, in MMDetection's scope."""
    before = DefaultScope.get_current_instance()
    cfg = Config.fromfile(CONFIG)
    init_default_scope(cfg.default_scope)
    import mmdet.datasets.transforms  # noqa: F401
    import mmpretrain.datasets.transforms  # noqa: F401

    yield apply_steps(cfg.spg_pipeline, dict(AntialiasedResize=dict(scale=(16, 20))))
    init_default_scope(before.scope_name if before else 'mmpretrain')


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('num_views', [1, 2, 3])
def test_views_keep_their_values_and_order(dtype, num_views):
    views = [np.random.default_rng(k).integers(0, 256, (4, 5, 3)).astype(dtype) for k in range(num_views)]
    packed = PackViews()(dict(img=views))
    assert len(packed['inputs']) == num_views
    for tensor, view in zip(packed['inputs'], views, strict=True):
        assert tensor.shape == (3, 4, 5) and tensor.is_contiguous()
        for row, column, channel in np.ndindex(view.shape):
            assert tensor[channel, row, column] == view[row, column, channel]
        assert tensor.numpy().dtype == dtype


def test_only_the_keys_asked_for_are_kept():
    results = dict(img=[np.zeros((2, 2, 3), np.uint8)], a=1, b=2, frames=[3])
    packed = PackViews(meta_keys=('a', 'frames', 'absent'))(results)
    assert set(packed) == {'inputs', 'data_samples'}
    assert packed['data_samples'].metainfo == dict(a=1, frames=[3])


@pytest.mark.parametrize(
    'img', [np.zeros((4, 4, 3)), [np.zeros((4, 4))], [np.zeros((4, 4, 3)), np.zeros((3, 4, 4))]], ids=str
)
def test_what_are_no_views_is_refused(img):
    with pytest.raises(ValueError, match=r"PackViews .*'v7'.*MixFrames"):
        PackViews()(dict(img=img, video_id='v7'))


@pytest.mark.parametrize('num_frames', [1, 2, 5])
@pytest.mark.parametrize('seed', range(4))
def test_in_mmdetection_it_equals_what_mmpretrain_packs(mmdet_pipeline, seed, num_frames):
    from mmcv.transforms import RandomFlip
    from mmdet.datasets.transforms import PhotoMetricDistortion

    from uscl_plugin.datasets.transforms import AntialiasedResize

    theirs = copy.deepcopy(mmdet_pipeline)
    assert theirs[-1]['type'] == 'PackViews'
    theirs[-1]['type'] = 'mmpretrain.PackInputs'
    packed = []
    for steps in (mmdet_pipeline, theirs):
        pipeline = Compose(steps)
        assert [type(step) for step in pipeline.transforms[3].transforms.transforms] == [
            *(AntialiasedResize, RandomFlip, PhotoMetricDistortion),
        ]
        np.random.seed(seed)
        packed.append(pipeline(video(num_frames)))
    ours, reference = packed
    assert [tuple(view.shape) for view in ours['inputs']] == [(3, 16, 20)] * 2
    for view, expected in zip(ours['inputs'], reference['inputs'], strict=True):
        assert torch.equal(view, expected) and view.dtype == expected.dtype
    for key in KEYS:
        np.testing.assert_array_equal(ours['data_samples'].get(key), reference['data_samples'].get(key))


def test_each_view_is_augmented_by_itself(mmdet_pipeline):
    # The two views of a single frame differ only by their augmentation.
    pipeline = Compose(mmdet_pipeline)
    np.random.seed(0)
    pairs = [pipeline(video(1))['inputs'] for _ in range(10)]
    assert sum(not torch.equal(first, second) for first, second in pairs) > 5
