import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from uscl_plugin.evaluation.backbones import load_backbone
from uscl_plugin.weights.checkpoint_files import write_checkpoint

pytest.importorskip('mmdet')
NAMES = {'udiat_b': 'udiat-b', 'busi': 'busi', 'bus_uclm': 'bus-uclm'}
KINDS = [
    ('mask', start, last) for start in ('scratch', 'imagenet', 'uscl') for last in ('', '_last3')
] + [('faster', start, '') for start in ('scratch', 'imagenet', 'uscl')]  # fmt: skip


def read(root, folder, detector, start, last):
    return Config.fromfile(
        root / 'configs' / folder / f'{detector}-rcnn_r18_fpn_{start}{last}_1xb2-30e_{NAMES[folder]}.py',
        import_custom_modules=False,
    )


@pytest.mark.parametrize('folder', NAMES)
@pytest.mark.parametrize(('detector', 'start', 'last'), KINDS)
def test_the_papers_numbers(root, folder, detector, start, last):
    cfg = read(root, folder, detector, start, last)
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=5e-4)
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size) == (30, 2)
    assert [s.get('milestones') for s in cfg.param_scheduler] == [None, [10, 20]]  # a warm-up before
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == f'data/{folder}'
        assert loader.dataset.metainfo.classes == ('lesion',)
    assert [step.type for step in cfg.train_dataloader.dataset.pipeline if 'Random' in step.type] == ['RandomFlip']
    backbone = cfg.model.backbone
    assert (backbone.depth, backbone.frozen_stages, backbone.norm_eval) == (18, -1, False)
    assert cfg.model.neck.in_channels == [64, 128, 256, 512]
    heads = [cfg.model.roi_head[name] for name in ('bbox_head', *['mask_head'] * (detector == 'mask'))]
    assert [head.num_classes for head in heads] == [1] * len(heads)
    mean = [123.675, 116.28, 103.53] if start == 'imagenet' else [127.5] * 3
    assert cfg.model.data_preprocessor.mean == mean
    assert (backbone.init_cfg is None) == (start == 'scratch')
    assert ('freezing' in cfg.default_hooks) == bool(last)
    assert cfg.default_hooks.backbone_check.type == 'BackboneCheckHook'
    if last:
        assert cfg.default_hooks.freezing.trainable[0] == 'backbone.layer4.1'
    assert cfg.custom_imports.imports == ['uscl_plugin', 'uscl_plugin.compat.mmcv_ops', 'uscl_plugin.detection']


@pytest.fixture
def lesions(tmp_path):
    """Four images of 64 px in COCO form to train on and four to validate on, one of each without a lesion."""
    folder = tmp_path / 'lesions'
    (folder / 'images').mkdir(parents=True)
    (folder / 'annotations').mkdir()
    for name in ('train', 'val'):
        images, annotations = [], []
        for k in range(1, 5):
            pixels = np.random.default_rng(k).integers(0, 90, (64, 64, 3), dtype=np.uint8)
            if k < 4:
                cv2.rectangle(pixels, (10, 10), (40, 30 + k), (200, 200, 200), -1)
                box, outline = [10, 10, 30, 20 + k], [10, 10, 40, 10, 40, 30 + k, 10, 30 + k]
                lesion = dict(id=k, image_id=k, category_id=1, bbox=box, area=30 * (20 + k), iscrowd=0)
                annotations.append(lesion | dict(segmentation=[outline]))
            cv2.imwrite(str(folder / 'images' / f'{name}{k}.png'), pixels)
            images.append(dict(id=k, file_name=f'{name}{k}.png', width=64, height=64))
        content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='lesion')])
        (folder / 'annotations' / f'{name}.json').write_text(json.dumps(content))
    return folder


# Two runs of a tool in one process, which imports the hosts once.
TWICE = """
import json, runpy, sys
tool, *runs = sys.argv[1:]
for number, run in enumerate(runs):
    sys.argv = [tool, *json.loads(run)]
    runpy.run_path(tool, run_name='__main__')
    print('RUN', number, 'ENDED')
"""


@pytest.mark.slow
def test_mmdetections_own_tool_trains_the_last_three_layers(root, lesions, tmp_path):
    """From a backbone as USCL leaves it, unchanged host, no compiler; frozen tensors stay as they are."""
    start = load_backbone('random').network.state_dict()
    meta = {'mean': [127.5] * 3, 'std': [63.75] * 3, 'channel_order': 'rgb'}
    write_checkpoint(tmp_path / 'backbone.pth', {f'backbone.{name}': value for name, value in start.items()}, meta)
    tool = Path(next(iter(importlib.util.find_spec('mmdet').submodule_search_locations))) / '.mim/tools/train.py'
    loaders = [
        option
        for name in ('train', 'val', 'test')
        for option in (
            f'{name}_dataloader.dataset.data_root={lesions}',
            f'{name}_dataloader.num_workers=0',
            f'{name}_dataloader.persistent_workers=False',
            f'{name}_dataloader.dataset.steps.Resize.scale=(64,64)',
        )
    ]
    config = root / 'configs' / 'udiat_b' / 'mask-rcnn_r18_fpn_uscl_last3_1xb2-30e_udiat-b.py'
    options = [*loaders, f'model.backbone.init_cfg.checkpoint={tmp_path / "backbone.pth"}', 'train_cfg.max_epochs=1']
    options += ['model.train_cfg.rcnn.sampler.num=16', 'model.train_cfg.rpn_proposal.max_per_img=50']
    runs = {'work': options, 'wrong': [*options, 'model.data_preprocessor.mean=[0,0,0]']}
    arguments = [
        json.dumps([str(config), '--work-dir', str(tmp_path / name), '--cfg-options', *more])
        for name, more in runs.items()
    ]
    command = [sys.executable, '-c', TWICE, str(tool), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    shown = done.stdout + done.stderr
    assert 'RUN 0 ENDED' in done.stdout, shown[-3000:]
    assert 'all 120 tensors of the backbone were loaded' in shown
    assert 'coco/bbox_mAP' in shown
    trained = torch.load(tmp_path / 'work' / 'epoch_1.pth', weights_only=True)['state_dict']
    for name, tensor in start.items():
        same = torch.equal(tensor, trained[f'backbone.{name}'])
        assert same != name.startswith('layer4.1'), name

    assert done.returncode != 0 and 'RUN 1 ENDED' not in done.stdout
    assert 'mean [127.5, 127.5, 127.5]' in done.stderr and 'set data_preprocessor' in done.stderr
