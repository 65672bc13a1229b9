"""Every config trains two iterations. Those that are the same but for the data they name are trained once."""

import functools
import json
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.models import ResNet

from uscl.data.fold_making import make_folds
from uscl.data.folds import write_folds
from uscl_plugin.datasets.pipeline_settings import set_input_size
from uscl_plugin.evaluation.backbones import load_backbone, write_backbone

ROOT = Path(__file__).parents[2] / 'configs'
NARROW = dict(base_channels=16, stem_channels=16)  # of 64
WITHOUT_MODEL = {'spg_in_mmdet_pipeline'}


def configs(*folders):
    paths = [path for folder in folders for path in sorted((ROOT / folder).glob('*.py'))]
    return [path for path in paths if path.stem not in WITHOUT_MODEL]


@functools.cache
def distinct_pretraining():
    """One path of those whose configs are the same once they are made small."""
    texts = {}
    for path in configs('uscl', 'baselines'):
        cfg = Config.fromfile(path)
        small_pretraining(cfg, 'DATA')
        texts.setdefault(cfg.pretty_text, path)
    return list(texts.values())


def small_loaders(cfg, **data):
    for name in ('train', 'val', 'test'):
        loader = cfg.get(f'{name}_dataloader')
        if loader is not None:
            loader.update(num_workers=0, persistent_workers=False)
            loader.pop('pin_memory', None)
            loader.dataset.update(**data)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=100, save_last=False)
    cfg.visualizer.vis_backends = []
    for name in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg', 'test_dataloader', 'test_evaluator'):
        cfg.pop(name, None)


def narrow(model):
    """A quarter of the channels. With 8, torch's 1x1 convolution of stride 2 (channels last, CPU) corrupts memory."""
    model.backbone.update(NARROW)
    for name in ('neck', 'head'):
        if model.get(name, {}).get('in_channels') in (512, 2048):  # of depth 18 and 50
            model[name].in_channels //= 4


def narrow_detector(model):
    model.backbone.update(NARROW)
    model.neck.update(in_channels=[16, 32, 64, 128], out_channels=16)
    model.rpn_head.update(in_channels=16, feat_channels=16)
    model.roi_head.bbox_head.update(in_channels=16, fc_out_channels=16)
    if 'mask_head' in model.roi_head:
        model.roi_head.mask_head.update(in_channels=16, conv_out_channels=16)
    for name in ('bbox_roi_extractor', 'mask_roi_extractor'):
        if name in model.roi_head:
            model.roi_head[name].out_channels = 16
    model.train_cfg.rcnn.sampler.num = 8
    model.train_cfg.rpn_proposal.max_per_img = 50


def small_pretraining(cfg, data):
    views = 1 if cfg.train_dataloader.batch_size == 64 else 2
    dataset = cfg.train_dataloader.dataset
    dataset.update(split=None, label_map=None, filter_cfg=None, classes=None, label_fraction=1.0, frame_range=(0, 1))
    dataset.samples_per_video = min(2 // views, dataset.get('samples_per_video', 1))
    cfg.train_dataloader.batch_size = 8 // views
    set_input_size(dataset, 32)
    if 'input_size' in cfg.model:
        cfg.model.input_size = 32
    if 'num_classes' in cfg.model.get('head', {}):
        cfg.model.head.num_classes = 2
    narrow(cfg.model)
    if 'queue_len' in cfg.model:
        cfg.model.queue_len = 8
    if cfg.optim_wrapper.type == 'AmpOptimWrapper' and not torch.cuda.is_available():  # MMEngine refuses it there
        cfg.optim_wrapper.type = 'OptimWrapper'
        del cfg.optim_wrapper['dtype']
    cfg.train_cfg.max_epochs = 2 if cfg.train_dataloader.get('drop_last') else 1
    small_loaders(cfg, data_root=data)


def small_classification(cfg, data, weights):
    cfg.train_dataloader.update(batch_size=4)
    cfg.train_dataloader.dataset.update(frames_per_video=1, classes=['a', 'b', 'c'])
    set_input_size(cfg.train_dataloader.dataset, 32)
    narrow(cfg.model)
    small_start(cfg, weights)
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1)
    small_loaders(cfg, data_root=data)


def small_detection(cfg, data, weights):
    cfg.train_dataloader.dataset.steps = dict(Resize=dict(scale=(128, 128)))
    narrow_detector(cfg.model)
    small_start(cfg, weights)
    cfg.train_cfg.max_epochs = 1
    small_loaders(cfg, data_root=data)


def small_start(cfg, weights):
    """Given weights, with what they were trained with, so that nothing refuses them."""
    start = cfg.model.backbone.get('init_cfg')
    if start is not None:
        start.checkpoint = f'{weights}_{cfg.model.data_preprocessor.mean[0]}.pth'
        del cfg.default_hooks['backbone_check']


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp('weights')
    network = ResNet(18, out_indices=(3,), zero_init_residual=False, **NARROW)
    for mean in (127.5, 123.675):
        write_backbone(folder / f'start_{mean}.pth', replace(load_backbone('random'), network=network))
    return folder / 'start'


@pytest.fixture(scope='module')
def lesions(tmp_path_factory):
    folder = tmp_path_factory.mktemp('lesions')
    (folder / 'images').mkdir()
    (folder / 'annotations').mkdir()
    images, annotations = [], []
    for k in range(1, 5):
        pixels = np.random.default_rng(k).integers(0, 90, (128, 128, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / 'images' / f'{k}.png'), cv2.rectangle(pixels, (20, 20), (80, 90), (200,) * 3, -1))
        images.append(dict(id=k, file_name=f'{k}.png', width=128, height=128))
        outline = [20, 20, 80, 20, 80, 90, 20, 90]
        lesion = dict(id=k, image_id=k, category_id=1, bbox=[20, 20, 60, 70], area=4200, iscrowd=0)
        annotations.append(lesion | dict(segmentation=[outline]))
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='lesion')])
    (folder / 'annotations' / 'train.json').write_text(json.dumps(content))
    return folder


def train(cfg, tmp_path):
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = f'{tmp_path.name}-{time.monotonic_ns()}'
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    before = {name: tensor.clone() for name, tensor in runner.model.named_parameters()}
    runner.train()
    assert runner.iter == 2
    after = dict(runner.model.named_parameters())
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    return changed, set(after)


@pytest.mark.parametrize('path', distinct_pretraining(), ids=lambda path: path.stem)
def test_pretraining(path, clusters, tmp_path):
    cfg = Config.fromfile(path)
    small_pretraining(cfg, str(clusters))
    changed, names = train(cfg, tmp_path)
    assert {name for name in names if name.startswith('backbone.')} <= changed


@pytest.mark.parametrize('path', configs('pocus'), ids=lambda path: path.stem)
def test_classification(path, make_clusters, tmp_path, weights):
    data = make_clusters(tmp_path / 'data', {f'{"abc"[k % 3]}/v{k}': (1, 'abc'[k % 3], f'p{k}') for k in range(12)})
    entries = json.loads((data / 'annotations.json').read_text())['data_list']
    write_folds(data / 'folds.json', make_folds(entries, 3, 0, val_fraction=0.0))
    cfg = Config.fromfile(path)
    small_classification(cfg, str(data), weights)
    changed, names = train(cfg, tmp_path / 'run')
    if 'linear' in path.stem:
        assert changed == {name for name in names if name.startswith('head.')}
    elif 'finetune3' in path.stem:
        assert changed == {name for name in names if name.startswith(('head.', 'backbone.layer4.1.'))}
    else:
        assert changed == names


@pytest.mark.parametrize('path', configs('udiat_b'), ids=lambda path: path.stem)
def test_detection(path, lesions, tmp_path, weights):
    pytest.importorskip('mmdet')
    cfg = Config.fromfile(path)
    small_detection(cfg, str(lesions), weights)
    changed, names = train(cfg, tmp_path)
    frozen = {name for name in names if name.startswith('backbone.') and not name.startswith('backbone.layer4.1.')}
    assert not changed & frozen if 'last3' in path.stem else changed >= {'backbone.conv1.weight'}
    assert any(name.startswith('roi_head.') for name in changed)


def test_no_config_is_left_out():
    """The detectors of BUSI and BUS-UCLM, which are not trained here, are those of UDIAT-B on other data."""
    loaders = ''.join(
        f"{name}_dataloader = dict(dataset=dict(data_root='DATA'))\n" for name in ('train', 'val', 'test')
    )
    for folder, name in (('busi', 'busi'), ('bus_uclm', 'bus-uclm')):
        same = {path.name.replace('udiat-b', name): path.name for path in configs('udiat_b')}
        assert {path.name for path in configs(folder)} == set(same)
        for path in configs(folder):
            lines = [line for line in path.read_text().splitlines(keepends=True) if line.strip() and line[0] != '#']
            text = ''.join(lines).replace(f'data/{folder}', 'DATA')
            assert text == f"_base_ = '../udiat_b/{same[path.name]}'\n{loaders}"
    folders = {path.parent.name for path in ROOT.glob('*/*.py')} - {'_base_'}
    assert folders == {'uscl', 'baselines', 'pocus', 'udiat_b', 'busi', 'bus_uclm'}
