"""Shut branches and collapsed features are named, healthy networks are not."""

import json

import numpy as np
import pytest
import torch
from branch_shares import branch_shares
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from uscl.stats.effective_rank import effective_rank
from uscl_plugin.evaluation.backbones import load_backbone
from uscl_plugin.measures.backbone_health import health_warning, measure_backbone, measure_frames, spread_evenly
from uscl_plugin.measures.features import extract_features

STAGES = ['layer1', 'layer2', 'layer3', 'layer4']


@pytest.fixture
def images():
    return torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network():
    return load_backbone('random').network


def set_last_norms(network, size, names=STAGES):
    generator = torch.Generator().manual_seed(0)
    for name in names:
        for block in getattr(network, name):
            sign = torch.randint(0, 2, block.norm2.weight.shape, generator=generator) * 2 - 1
            block.norm2.weight.data = size * sign.float()


def test_it_measures_shares_and_rank_of_all_batches(network, images):
    health = measure_backbone(network, images.split(8))
    shares = [branch_shares(network, part) for part in images.split(8)]
    assert health.branches == {s: pytest.approx((shares[0][s] + shares[1][s]) / 2, rel=1e-5) for s in STAGES}
    with torch.no_grad():
        features = network(images)[-1].mean(dim=(2, 3)).numpy()
    assert health.effective_rank == pytest.approx(effective_rank(features), rel=1e-4)
    assert (health.max_rank, health.num_images) == (16, 16)
    assert json.loads(json.dumps(health.as_dict()))['images'] == 16
    assert str(health).endswith(f'effective rank {health.effective_rank:.1f} of at most 16')
    assert f'layer2 {health.branches["layer2"]:.3f}, ' in str(health)


def test_frames_are_measured_as_their_features_are_extracted(network):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(9)]
    settings = dict(mean=[100.0, 110.0, 120.0], std=[50.0] * 3, to_rgb=True)
    health = measure_frames(network, frames, 32, **settings)
    assert health.effective_rank == pytest.approx(effective_rank(extract_features(network, frames, 32, **settings)))
    assert list(health.branches) == STAGES and health.num_images == 9


@pytest.mark.parametrize('size', [0.0, 0.06])
def test_branches_that_start_at_0_are_shut_still_after_a_short_run(network, images, size):
    assert health_warning(measure_backbone(network, [images])) is None
    set_last_norms(network, size)
    warning = health_warning(measure_backbone(network, [images]))
    assert all(stage in warning for stage in STAGES) and 'zero_init_residual=False' in warning


def test_one_shut_stage_is_enough_and_alone_is_named(network, images):
    set_last_norms(network, 0.0, ['layer3'])
    warning = health_warning(measure_backbone(network, [images]))
    assert 'below 0.1 in layer3 0. ' in warning
    assert not any(stage in warning for stage in ('layer1', 'layer2', 'layer4'))


def build(**settings):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    network = MODELS.build(settings)
    network.init_weights()
    return network


@pytest.mark.parametrize('scale, is_shut', [(1e-6, True), (1.0, False)])
def test_layer_scale(scale, is_shut):
    network = build(type='ConvNeXt', arch='atto', layer_scale_init_value=scale)
    warning = health_warning(measure_backbone(network, [torch.randn(8, 3, 64, 64)]))
    assert bool(warning) == is_shut and (not is_shut or 'layer_scale_init_value=1' in warning)


def test_transformers_have_smaller_branches_that_are_open(images):
    network = build(type='VisionTransformer', arch='deit-tiny', img_size=32, patch_size=8)
    assert health_warning(measure_backbone(network, [images])) is None


def test_collapsed_features_are_named_with_their_rank(network, images):
    network.register_forward_hook(lambda module, inputs, output: (1 + 1e-3 * output[0],))
    warning = health_warning(measure_backbone(network, [images]))
    assert 'effective rank is 1.0' in warning and 'of at most 16' in warning and 'branches' not in warning
    set_last_norms(network, 0.0)
    both = health_warning(measure_backbone(network, [images]))
    assert 'branches are closed' in both and 'Also, the features have collapsed' in both


def test_few_images_have_no_rank(network, images):
    health = measure_backbone(network, [images[:2]])
    assert health.effective_rank is None and health_warning(health) is None
    assert list(health.branches) == STAGES and 'effective rank not measured on 2 images' in str(health)
    with pytest.raises(ValueError, match='image'):
        measure_backbone(network, [])


def test_features_that_are_not_finite_are_left_to_others(network, images):
    network.conv1.weight.data.fill_(torch.nan)
    health = measure_backbone(network, [images])
    assert health.effective_rank is None and health.branches == {}


def test_it_leaves_modes_and_random_numbers(network, images):
    network.train()
    network.layer2.eval()
    state = torch.random.get_rng_state()
    measure_backbone(network, [images])
    assert network.training and network.layer1.training and not network.layer2.training
    assert torch.equal(state, torch.random.get_rng_state())


def test_mixed_precision_outside_is_not_used(network, images):
    with torch.autocast('cpu', dtype=torch.bfloat16):
        health = measure_backbone(network, [images])
    assert health == measure_backbone(network, [images])


def test_frames_are_spread_over_all():
    assert spread_evenly(1000)[-1] == 999 and len(spread_evenly(1000)) == 256
    assert spread_evenly(3) == [0, 1, 2]
