"""Views made a batch at a time are those that the transforms make one by one."""

from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS
from torch.utils.data import DataLoader

from uscl_plugin.datasets.pipeline_settings import apply_steps, color_type, input_size, set_input_size
from uscl_plugin.datasets.transforms import DrawViews, MixFrames, PackFrames, collate_frames
from uscl_plugin.evaluation.spg_examples import mixes_first, spg_rows
from uscl_plugin.models import SPGDataPreprocessor
from uscl_plugin.models.data_preprocessors import jitter, make_views, mix_frames, rotate

CONFIGS = Path(__file__).parents[2] / 'configs' / 'uscl'


def picture(size, channels, seed=0, blur=0):
    img = np.random.default_rng(seed).integers(0, 256, (*size, channels), dtype=np.uint8)
    return mmcv.imresize(img[::blur, ::blur], size[::-1]).reshape(*size, channels) if blur else img


def tensor(*imgs):
    return torch.from_numpy(np.stack(imgs)).permute(0, 3, 1, 2).float()


def array(images):
    return images.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('size', [(64, 64), (41, 90)])
def test_rotation(size, channels):
    angles = [-10, -3.3, 0, 7.7]
    # cv2 rounds positions to 1/32 pixel: 1/64 pixel at most, in each direction, of at most 255 levels a pixel, and 1
    for blur, mean in ((0, 1), (4, 0.3)):
        imgs = [picture(size, channels, seed, blur) for seed in range(len(angles))]
        found = array(rotate(tensor(*imgs), torch.tensor(angles, dtype=torch.float32)))
        for img, result, angle in zip(imgs, found, angles, strict=True):
            difference = np.abs(result - mmcv.imrotate(img, angle).reshape(img.shape))
            assert difference.max() <= 9 and difference.mean() < mean
        np.testing.assert_array_equal(found[2], imgs[2])


def test_mixing_is_that_of_mix_frames():
    draw = DrawViews(8)
    imgs = [picture((40, 56), 3, seed) for seed in range(3)]
    for number in (3, 2, 1):
        np.random.seed(number)
        expected = MixFrames(out_dtype='uint8')(dict(imgs=imgs[:number]))['img']
        np.random.seed(number)
        weights = torch.from_numpy(draw(dict(imgs=imgs[:number]))['view_params'][None, :, :3])
        found = mix_frames(tensor(*imgs)[None].byte(), weights)[:, 0]
        difference = np.abs(array(found) - np.stack(expected))
        assert difference.max() <= 1 and (difference > 0).mean() < 1e-3  # halves may round either way
        if number < 3:
            assert difference.max() == 0


ORDERS = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [1, 0, 2, 3], [0, 2, 1, 3]]
FACTORS = [[0.2, 1.8, 0.3, 0.2], [1.79, 0.21, 1.8, -0.2], [1, 1, 1, 0], [0.7, 1.3, 1.1, 0.05], [1.5, 1.5, 0.2, -0.1]]
FACTORS += [[1.1, 0.5, 1.7, 0.13]]


def pillow_jitter(img, order, factors, with_hue=True):
    for kind in order:
        if kind == 3 and not with_hue:
            continue
        name = ('brightness', 'contrast', 'color', 'hue')[kind]
        img = getattr(mmcv, f'adjust_{name}')(img, factors[kind], backend='pillow')
    return img


@pytest.mark.filterwarnings('ignore:Only use')
class TestJitter:
    def test_grey_is_exact_and_stays_one_channel(self):
        """All four operations of the reference run on three equal channels: hue and saturation leave grey alone."""
        imgs = [picture((41, 30), 1, seed) for seed in range(6)]
        imgs[0][:] = np.arange(41 * 30).reshape(41, 30, 1) % 256  # every level
        found = array(jitter(tensor(*imgs), torch.tensor(ORDERS), torch.tensor(FACTORS)))
        for img, result, order, factors in zip(imgs, found, ORDERS, FACTORS, strict=True):
            expected = pillow_jitter(np.repeat(img, 3, 2), order, factors)
            np.testing.assert_array_equal(np.repeat(result, 3, 2), expected)

    def test_hue_and_saturation_leave_every_grey_level(self):
        levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
        for saturation, hue in ((0.2, -0.5), (1.8, 0.5), (3.0, 0.11)):
            factors = torch.tensor([[1, 1, saturation, hue]])
            for order in ORDERS[:2]:
                np.testing.assert_array_equal(array(jitter(tensor(levels), torch.tensor([order]), factors))[0], levels)
                expected = pillow_jitter(levels, order, factors[0].tolist())
                np.testing.assert_array_equal(expected, levels)

    def test_colour_without_hue_is_exact(self):
        imgs = [picture((41, 30), 3, seed) for seed in range(6)]
        factors = torch.tensor(FACTORS)
        factors[:, 3] = 0
        off = [[kind for kind in order if kind != 3] + [3] for order in ORDERS]  # then the last step may round hues
        before_hue = [pillow_jitter(img, o, f, False) for img, o, f in zip(imgs, off, FACTORS, strict=True)]
        found = array(jitter(tensor(*imgs), torch.tensor(off), factors))
        for expected, result in zip(before_hue, found, strict=True):
            after = mmcv.adjust_hue(expected, 0.0, backend='pillow').astype(int)
            assert (np.abs(after - result).max(2) > 0).mean() < 2e-3

    def test_hue(self):
        """Single precision gives one colour in a thousand the hue next to that of Pillow, which has 256."""
        colours = picture((400, 400), 3)
        for hue in (-0.2, 0.0, 0.07, 0.5):
            found = array(jitter(tensor(colours), torch.tensor([[3, 0, 1, 2]]), torch.tensor([[1, 1, 1, hue]])))[0]
            difference = np.abs(found - mmcv.adjust_hue(colours, hue, backend='pillow')).max(2)
            assert (difference > 0).mean() < 2e-3 and difference.max() <= 6  # 255 · 6 / 255: a step of the hue


def videos(channels):
    sizes = [(60, 84), (50, 50), (70, 40), (60, 84)]
    return [
        [picture(size, channels, 10 * k + frame, 4) for frame in range(number)]
        for k, (size, number) in enumerate(zip(sizes, (3, 2, 1, 3), strict=True))
    ]


@pytest.mark.filterwarnings('ignore:Only use')
@pytest.mark.parametrize('channels', [1, 3])
def test_whole_path_against_the_transforms(channels):
    """A ragged batch, same seeds: what differs is rounding, amplified by up to 1.8 twice (brightness, contrast)."""
    init_default_scope('mmpretrain')
    from mmengine.dataset import Compose
    from mmpretrain.registry import TRANSFORMS

    pipeline = Config.fromfile(CONFIGS.parent / '_base_' / 'datasets' / 'spg_paper.py').spg_pipeline
    steps = apply_steps(pipeline, dict(AntialiasedRandomResizedCrop=dict(scale=(48, 56))))
    theirs = Compose([TRANSFORMS.build(step) for step in steps if 'VideoFrames' not in step.type])
    ours = Compose([DrawViews((48, 56)), PackFrames()])
    expected, items = [], []
    for k, imgs in enumerate(videos(channels)):
        np.random.seed(k)
        expected.append(theirs(dict(imgs=[np.repeat(img, 4 - channels, 2)[..., :3] for img in imgs])))
        np.random.seed(k)
        items.append(ours(dict(imgs=imgs)))
    settings = dict(mean=[127.5] * 3, std=[63.75] * 3, to_rgb=True)
    found = SPGDataPreprocessor(**settings)(collate_frames(items))['inputs']
    views = SPGDataPreprocessor(**settings)(default_collate(expected))['inputs']  # ready views go the usual way
    for view, wanted in zip(found, views, strict=True):
        assert view.shape == wanted.shape == (4, 3, 48, 56) and view.dtype == torch.float32
        difference = 63.75 * (view - wanted).abs()
        assert difference.mean() < 1 and difference.quantile(0.999) < 12
        assert abs(view.mean() - wanted.mean()) < 0.01 and abs(view.std() / wanted.std() - 1) < 0.01


def test_parts_of_a_batch_do_not_depend_on_each_other():
    """Nine videos are several parts on a CPU; each video alone gives the same pixels."""
    items = [PackFrames()(DrawViews(16)(dict(imgs=imgs))) for imgs in (videos(3) * 3)[:9]]
    batch = collate_frames(items)
    together = make_views(batch['inputs'], batch['view_params'])
    for k in (0, 1, 5, 8):
        for whole, one in zip(
            together, make_views(batch['inputs'][k : k + 1], batch['view_params'][k : k + 1]), strict=True
        ):
            np.testing.assert_array_equal(whole[k], one[0])


@pytest.mark.parametrize('mean', [[127.5] * 3, [10.0, 20.0, 30.0]])
def test_grey_is_normalised_like_equal_channels(mean):
    items = [PackFrames()(DrawViews(16)(dict(imgs=imgs))) for imgs in videos(1)]
    batch = collate_frames(items)
    (levels, _) = make_views(batch['inputs'], batch['view_params'])
    view = SPGDataPreprocessor(mean=mean, std=[2.0, 4.0, 5.0], to_rgb=True)(batch)['inputs'][0]
    for channel in range(3):
        torch.testing.assert_close(view[:, channel], (levels[:, 0] - mean[channel]) / (2.0, 4.0, 5.0)[channel])


def test_wrong_batches_are_refused():
    prepare = SPGDataPreprocessor()
    items = [PackFrames()(DrawViews(size)(dict(imgs=videos(1)[0]))) for size in (16, 16, 24)]
    for data in (pseudo_collate(items[:2]), items):
        with pytest.raises(TypeError, match=r"collate_fn=dict\(type='collate_frames'\)"):
            prepare(data)
    with pytest.raises(ValueError, match=r'\[\(16, 16\), \(24, 24\)\]'):
        prepare(collate_frames(items))


@pytest.fixture
def cfg(clusters):
    cfg = Config.fromfile(CONFIGS / 'uscl_resnet18_demo_device-aug.py')
    init_default_scope('mmpretrain')
    cfg.train_dataloader.dataset.data_root = str(clusters)
    cfg.model.backbone.update(base_channels=16, stem_channels=16)
    cfg.model.neck.update(in_channels=128, hid_channels=64, out_channels=32)
    cfg.model.head.update(num_classes=2, in_channels=128)
    return cfg


def test_size_and_colour_are_found_in_the_config(cfg):
    dataset = cfg.train_dataloader.dataset
    assert (input_size(dataset), color_type(dataset)) == (64, 'color')
    set_input_size(dataset, 32)
    assert DATASETS.build(cfg.train_dataloader.dataset)[0]['inputs'][1].shape == (3, 32, 32)


def test_pictures_of_pairs_show_what_the_model_is_fed(cfg):
    rows = spg_rows(cfg, 3, seed=5, epoch=2)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    dataset.set_epoch(2, 5)
    batch = collate_frames([dataset[i] for i in (0, 3, 6)])
    assert [row['video_id'] for row in rows] == [sample.video_id for sample in batch['data_samples']]
    for k, view in enumerate(make_views(batch['inputs'], batch['view_params'])):
        for row, expected in zip(rows, view, strict=True):
            np.testing.assert_array_equal(row['views'][k], expected[0, ..., None].numpy().repeat(3, 2))
    assert mixes_first(cfg)


def test_held_out_videos_are_put_together_as_in_training(cfg, clusters, tmp_path):
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.held_out.update(data_root=str(clusters), split=None)
    cfg.visualizer.vis_backends = []
    cfg.update(work_dir=str(tmp_path), experiment_name=tmp_path.name)
    set_input_size(cfg.train_dataloader.dataset, 32)
    seen = []
    runner = Runner.from_cfg(cfg)
    runner.visualizer.add_scalars = lambda values, **_: seen.append(values)
    runner.train()
    found = next(values for values in seen if 'held_out/contrastive' in values)
    assert found['held_out/contrastive'] == pytest.approx(np.log(2 * 7 - 1), abs=1)  # untrained: near log(2N - 1)


def test_batches_do_not_depend_on_the_workers(cfg):
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    dataset.set_epoch(3, 5)
    batches = [
        list(DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=collate_frames)) for workers in (0, 2)
    ]
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one['inputs'], other['inputs']) and torch.equal(one['view_params'], other['view_params'])
        ids = [[sample.video_id for sample in batch['data_samples']] for batch in (one, other)]
        assert ids[0] == ids[1]


def test_a_training_step(cfg):
    set_input_size(cfg.train_dataloader.dataset, 32)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    before = {name: value.clone() for name, value in model.named_parameters()}
    batch = collate_frames([dataset[i] for i in range(len(dataset))])
    assert batch['inputs'].shape[2] == 1  # grey
    log = model.train_step(batch, OptimWrapper(torch.optim.SGD(model.parameters(), 0.1)))
    assert torch.isfinite(log['loss']) and {'loss_contrastive', 'loss_cls', 'accuracy'} <= set(log)
    assert all((value != before[name]).any() for name, value in model.named_parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('channels', [1, 3])
def test_a_gpu_makes_the_same_views(channels):
    batch = collate_frames([PackFrames()(DrawViews(48)(dict(imgs=imgs))) for imgs in videos(channels)])
    slow = make_views(batch['inputs'], batch['view_params'])
    for view, expected in zip(make_views(batch['inputs'], batch['view_params'], 'cuda'), slow, strict=True):
        assert (view.cpu() - expected).abs().mean() < 0.1


@pytest.mark.parametrize('to_rgb', [True, False])
@pytest.mark.parametrize('made_by', ['device', 'pipeline'])
def test_one_channel_is_the_grey_level(to_rgb, made_by):
    """The luma of mmcv, of the same views."""
    img = picture((16, 16), 3)
    settings = dict(mean=[100.0], std=[50.0], to_rgb=to_rgb)
    if made_by == 'device':
        np.random.seed(0)
        data = collate_frames([PackFrames()(DrawViews(16)(dict(imgs=[img] * 3, gt_label=0)))])
    else:
        data = dict(inputs=[tensor(img), tensor(img)], data_samples=[])
    three = SPGDataPreprocessor(**settings | dict(mean=[100.0] * 3, std=[50.0] * 3))(data)['inputs']
    one = SPGDataPreprocessor(channels=1, **settings)(data)['inputs']
    for colour, grey in zip(three, one, strict=True):
        bgr = (colour.flip(1) if to_rgb else colour)[0].permute(1, 2, 0).numpy() * 50 + 100
        expected = (mmcv.bgr2gray(bgr) - 100) / 50
        assert grey.shape == (1, 1, 16, 16)
        np.testing.assert_allclose(grey[0, 0], expected, atol=1e-4)


@pytest.mark.parametrize('wrong', [dict(channels=2), dict(channels=1, mean=[1.0, 2.0, 3.0], std=[1.0] * 3)])
def test_other_channels_are_refused(wrong):
    with pytest.raises(ValueError, match='channels'):
        SPGDataPreprocessor(**dict(mean=[1.0], std=[1.0]) | wrong)
