"""All detectors of a comparison are the same but for the backbone."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from uscl.options.comparison_options import DETECTOR, ComparisonOptions
from uscl_plugin.comparison.detection_config import describe_detection, detection_config, read_detector
from uscl_plugin.evaluation.backbones import load_backbone

pytest.importorskip('mmdet')
OPTIONS = ComparisonOptions(pretrain_data='', eval_data='', out='', detection_data='data')


@pytest.fixture(scope='module')
def backbone():
    return load_backbone('random')


@pytest.mark.parametrize(
    ('epochs', 'milestones'), [(None, [10, 20]), (60, [20, 40]), (12, [4, 8]), (3, [1, 2]), (1, [1, 1])]
)
@pytest.mark.parametrize(('size', 'scale'), [(None, (1333, 800)), (64, (107, 64))])
def test_epochs_and_size(backbone, epochs, milestones, size, scale):
    options = replace(OPTIONS, detection_epochs=epochs, detection_size=size, workers=0)
    cfg = detection_config(backbone, Path('b.pth'), 7, options)
    warm_up, steps = cfg.param_scheduler
    assert (steps.milestones, steps.end, warm_up.end) == (milestones, epochs or 30, 100)
    assert cfg.train_cfg.max_epochs == cfg.train_cfg.val_interval == (epochs or 30)
    assert cfg.randomness.seed == 7
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == str(Path('data').resolve())
        assert (loader.num_workers, loader.persistent_workers) == (0, False)
        assert [step.scale for step in loader.dataset.pipeline if step.type == 'Resize'] == [scale]


def test_configs_that_do_not_fit(backbone, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone\.py'):
        read_detector(tmp_path / 'gone.py')
    with pytest.raises(ValueError, match=r'init_cfg\.checkpoint'):
        read_detector(DETECTOR.with_name(DETECTOR.name.replace('uscl', 'scratch')))


def test_the_sentence_of_the_table(tmp_path):
    (tmp_path / 'annotations').mkdir()
    content = {'images': [{}] * 3, 'annotations': [{}] * 2}
    (tmp_path / 'annotations' / 'val.json').write_text(json.dumps(content))
    options = replace(OPTIONS, detection_data=str(tmp_path))
    text = describe_detection(options)
    assert 'shorter side 800, after the last of 30 epochs, on the 3 images (2 lesions)' in text
    text = describe_detection(replace(options, detection_epochs=2, detection_size=64))
    assert 'shorter side 64, after the last of 2 epochs' in text


@pytest.mark.parametrize(
    ('name', 'channels', 'strides', 'last'),
    [
        ('mobilenet_v3_small', [16, 24, 48, 576], [4, 8, 16, 32, 64], ['layer11', 'layer12.conv', 'layer12.bn']),
        ('vit_tiny', [192], [16, 32, 64, 128, 256], ['layers.11', 'ln1']),
        ('timm:tf_efficientnet_lite0', [24, 40, 112, 320], [4, 8, 16, 32, 64], ['timm_model.blocks.6.0']),
        ('convnext_atto', [40, 80, 160, 320], [4, 8, 16, 32, 64], ['stages.3.1', *(f'norm{k}' for k in range(4))]),
    ],
)
def test_another_backbone_brings_its_maps(tmp_path, name, channels, strides, last):
    """With MMDetection as the default host, the detector is built, loads all weights, and finds boxes."""
    import torch
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    import uscl_plugin.compat.mmcv_ops  # noqa: F401 (before MMDetection)

    backbone = load_backbone(f'random:{name}')
    with DefaultScope.overwrite_default_scope('mmdet'):
        cfg = detection_config(backbone, tmp_path / 'b.pth', 0, OPTIONS)
        assert cfg.model.neck.in_channels == channels
        assert cfg.model.rpn_head.anchor_generator.strides == strides
        assert cfg.model.roi_head.bbox_roi_extractor.featmap_strides == strides[: len(channels)]
        assert [each for each in cfg.default_hooks.freezing.trainable if each.startswith('backbone')] == [
            f'backbone.{each}' for each in last
        ]
        model = MODELS.build(cfg.model)
        model.init_weights()
        own, given = model.backbone.state_dict(), backbone.network.state_dict()
        assert all(torch.equal(own[key], given[key]) for key in set(own) & set(given))
        assert len(set(own) & set(given)) > 0.9 * len(own)
        maps = model.extract_feat(torch.zeros(1, 3, 224, 224))
    assert [each.shape[2] for each in maps] == [-(-224 // stride) for stride in strides]
