"""Backbones by name: what they return, and that their residual branches are open before the first step."""

import pytest
import torch
from mmpretrain.registry import MODELS

from uscl.options.pretraining_options import BACKBONES
from uscl_plugin.measures.backbone_health import health_warning, measure_backbone
from uscl_plugin.weights.architectures import (
    ARCHITECTURES,
    architecture_name,
    backbone_config,
    last_block,
    map_sizes,
    output_kind,
    pyramid_settings,
)

SIZE = 64
LARGE = (
    'resnet34',
    'resnet101',
    'resnet152',
    'resnext50',
    'convnext_tiny',
    'swin_tiny',
    'timm:swin_tiny_patch4_window7_224',
)
NAMES = [
    *ARCHITECTURES,
    'timm:resnet18',
    'timm:tf_efficientnet_lite0',
    'timm:convnext_atto',
    'timm:vit_tiny_patch16_224',
    LARGE[-1],
]


def marked(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in names]


def build(name, **changes):
    torch.manual_seed(0)
    network = MODELS.build(backbone_config(name, SIZE) | changes)
    network.init_weights()
    return network


def test_options_offer_what_there_is():
    assert set(BACKBONES) == set(ARCHITECTURES)


@pytest.mark.parametrize('name', marked(NAMES))
def test_branches_are_open_before_the_first_step(name):
    network, images = build(name), torch.randn(16, 3, SIZE, SIZE)
    for module in network.modules():
        if hasattr(module, 'momentum'):
            module.momentum = None  # batch norm has to know its images; this takes their mean
    with torch.no_grad():
        for _ in range(3):
            network(images)
    health = measure_backbone(network, [images])
    assert health_warning(health) is None, health
    assert (name == 'shufflenet_v2') == (not health.branches)  # the only one without residual branches


@pytest.mark.parametrize('name', marked(NAMES))
def test_statistics_of_batch_norm_follow_a_short_run(name):
    momenta = {module.momentum for module in build(name).modules() if getattr(module, 'running_mean', None) is not None}
    assert momenta <= {0.1}


@pytest.mark.parametrize(
    ('name', 'shut'),
    [
        ('resnet18', dict(zero_init_residual=True)),
        ('regnetx_400mf', dict(zero_init_residual=True)),
        ('convnext_atto', dict(layer_scale_init_value=1e-6)),
        ('timm:resnet18', dict(zero_init_last=True)),
    ],
)
def test_hosts_defaults_are_noticed(name, shut):
    network, images = build(name, **shut), torch.randn(16, 3, SIZE, SIZE)
    assert 'branches are closed' in health_warning(measure_backbone(network, [images]))


@pytest.mark.parametrize(
    ('name', 'channels', 'is_map', 'stride', 'last'),
    [
        ('resnet18', 512, True, 32, ['layer4.1']),
        ('resnet50', 2048, True, 32, ['layer4.2']),
        ('regnetx_400mf', 384, True, 32, ['layer4.11']),
        ('mobilenet_v3_small', 576, True, 32, ['layer11', 'layer12.conv', 'layer12.bn']),
        ('convnext_atto', 320, False, 0, ['stages.3.1', 'norm3']),
        ('vit_tiny', 192, True, 16, ['layers.11', 'ln1']),
        ('shufflenet_v2', 1024, True, 32, ['layers.2.3', 'layers.3.conv', 'layers.3.bn']),
        ('timm:vit_tiny_patch16_224', 192, True, 16, ['timm_model.blocks.11', 'timm_model.norm']),
    ],
)
def test_output_and_last_block(name, channels, is_map, stride, last):
    network = build(name)
    found = output_kind(network, SIZE)
    assert (found.channels, found.is_map, found.stride, last_block(network)) == (channels, is_map, stride, last)
    assert architecture_name(backbone_config(name, SIZE)) == name


def test_names_are_of_the_same_network_only():
    resnet = dict(type='ResNet', depth=18)
    same = dict(out_indices=[3], norm_cfg=dict(type='SyncBN', requires_grad=True), norm_eval=True, frozen_stages=1)
    assert architecture_name(resnet | same) == 'resnet18'
    for other in (dict(strides=(1, 2, 1, 1)), dict(norm_cfg=dict(type='BN', eps=1e-3)), dict(deep_stem=True)):
        assert architecture_name(resnet | other) == 'ResNet'


@pytest.mark.parametrize(
    ('name', 'channels', 'strides'),
    [
        ('regnetx_400mf', [32, 64, 160, 384], [4, 8, 16, 32]),
        ('mobilenet_v3_small', [16, 24, 48, 576], [4, 8, 16, 32]),
        ('convnext_atto', [40, 80, 160, 320], [4, 8, 16, 32]),
        ('shufflenet_v2', [116, 232, 1024], [8, 16, 32]),
        ('vit_tiny', [192], [16]),
        ('timm:tf_efficientnet_lite0', [24, 40, 112, 320], [4, 8, 16, 32]),
        ('timm:convnext_atto', [320], [32]),
    ],
)
def test_maps_for_detectors(name, channels, strides):
    config = backbone_config(name, SIZE)
    assert map_sizes(config | pyramid_settings(config)) == (channels, strides)


def test_unknown_names(tmp_path):
    with pytest.raises(ValueError, match='resnet19 is no backbone'):
        backbone_config('resnet19', SIZE)
    with pytest.raises(ValueError, match='resnet19x'):
        backbone_config('timm:resnet19x', SIZE)
    with pytest.raises(FileNotFoundError, match=r'gone\.py'):
        backbone_config(f'{tmp_path}/gone.py', SIZE)
    (tmp_path / 'empty.py').write_text('a = 1\n')
    with pytest.raises(ValueError, match=r'empty\.py'):
        backbone_config(f'{tmp_path}/empty.py', SIZE)
