"""Shares of branches, by hand on toy networks and by name on those of three libraries."""

import pytest
import timm
import torch
import torchvision
from branch_shares import branch_shares
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch import nn

from uscl_plugin.measures.residual_branches import BranchWatch

STAGES = ['layer1', 'layer2', 'layer3', 'layer4']


class Block(nn.Module):
    """What one class of residual block adds, written the plain way."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(16, 16, 3, padding=1)
        self.shortcut = nn.Conv2d(16, 16, 1)

    def forward(self, x):
        if self.kind == 'gate':  # squeeze and excitation: no addition
            return x * self.conv(x).mean(dim=(2, 3), keepdim=True).sigmoid()
        if self.kind == 'same depth':  # as GRN: neither is a shortcut of the other
            return x + x.relu() * 0.5
        if self.kind == 'position':
            return x + torch.ones_like(x[:1]).new_tensor(0.5).expand(x.shape)
        if self.kind == 'constant bias':
            return x + (0 * self.conv(x) + 3)
        if self.kind == 'in place':
            y = self.conv(x)
            y += x
            return y.relu_()
        if self.kind == 'swapped':
            return x + self.conv(x)
        return self.conv(self.conv(x)) + self.shortcut(x)  # shallower, though it has a convolution


@pytest.fixture
def images():
    return torch.randn(3, 16, 6, 6, generator=torch.Generator().manual_seed(0))


def by_hand(branch, shortcut):
    sizes = [(part - part.mean(dim=0)).pow(2).mean().sqrt() for part in (branch, shortcut)]
    return (sizes[0] / (sizes[0] + sizes[1])).item()


@pytest.mark.parametrize('kind', ['in place', 'swapped', 'downsample'])
@pytest.mark.parametrize('scope', [torch.no_grad, torch.inference_mode])
def test_the_share_is_that_of_the_branch_before_it_is_added(kind, scope, images):
    network = Block(kind)
    with scope():
        branch = network.conv(images)
        expected = by_hand(branch, images)
        if kind == 'downsample':
            expected = by_hand(network.conv(branch), network.shortcut(images))
        with BranchWatch(network) as watch:
            network(images)
    assert watch.shares() == {'network': pytest.approx(expected, rel=1e-5)}
    assert 0.05 < expected < 0.95 and abs(expected - 0.5) > 0.02  # neither is taken for the other


@pytest.mark.parametrize('kind', ['gate', 'same depth', 'position'])
def test_other_additions_are_none(kind, images):
    assert branch_shares(Block(kind), images) == {}


def test_what_is_the_same_for_all_images_does_not_count(images):
    assert branch_shares(Block('constant bias'), images) == {'network': pytest.approx(0, abs=1e-6)}
    assert branch_shares(Block('swapped'), images[:1]) == {}
    assert branch_shares(Block('swapped'), images[:1].repeat(2, 1, 1, 1)) == {}


def test_the_network_is_left_as_it_was(images):
    network = nn.Sequential(Block('swapped'), nn.BatchNorm2d(16), Block('swapped').eval())
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert list(branch_shares(network, images)) == ['0-2']
    assert [module.training for module in network] == [True, True, False]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    with pytest.raises(RuntimeError):
        branch_shares(network, images[:, :3])
    assert network.training and not any(module._forward_hooks for module in network.modules())
    assert torch.backends.mha.get_fastpath_enabled()


def small(**settings):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    network = MODELS.build(settings)
    network.init_weights()
    return network


NETWORKS = {
    'ResNet': lambda: small(type='ResNet', depth=18, zero_init_residual=False),
    'ResNeXt': lambda: small(type='ResNeXt', depth=50, zero_init_residual=False),
    'SEResNet': lambda: small(type='SEResNet', depth=50, zero_init_residual=False),
    'torchvision': torchvision.models.resnet18,
    'timm': lambda: timm.create_model('resnet18', zero_init_last=False),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_stages_of_open_residual_networks(name):
    torch.manual_seed(0)
    shares = branch_shares(NETWORKS[name](), torch.randn(2, 3, 32, 32))
    assert list(shares) == STAGES
    assert all(0.05 < share < 0.7 for share in shares.values())


@pytest.mark.parametrize(
    'make',
    [lambda: small(type='ResNet', depth=18, zero_init_residual=True), lambda: timm.create_model('resnet18')],
    ids=['mmpretrain', 'timm'],
)
def test_stages_of_shut_residual_networks(make):
    shares = branch_shares(make(), torch.randn(2, 3, 32, 32))
    assert list(shares) == STAGES
    assert max(shares.values()) < 1e-6


@pytest.mark.parametrize('kind', ['ConvNeXt', 'GRN', 'timm'])
def test_layer_scale(kind):
    """At 1e-6 branches are closed, at 1 or with GRN instead they are not; GRN is no addition of its own."""

    def make(scale):
        if kind == 'timm':
            return timm.create_model('convnext_atto', ls_init_value=scale)
        return small(type='ConvNeXt', arch='atto', layer_scale_init_value=scale, use_grn=kind == 'GRN')

    images = torch.randn(2, 3, 64, 64)
    open_shares = branch_shares(make(0.0 if kind == 'GRN' else 1.0), images)
    shut_shares = branch_shares(make(1e-6), images)
    stages = ['stages.0', 'stages.1', 'stages.2', 'stages.3']
    assert [name.removesuffix('.blocks') for name in open_shares] == stages
    assert all(0.01 < share < 0.5 for share in open_shares.values())
    assert max(shut_shares.values()) < 1e-5


@pytest.mark.parametrize(
    'make, stages',
    [
        (lambda: small(type='VisionTransformer', arch='deit-tiny', img_size=32, patch_size=16), ['layers']),
        (lambda: timm.create_model('vit_tiny_patch16_224', img_size=32, depth=3), ['blocks']),
        (
            lambda: timm.create_model('swin_tiny_patch4_window7_224', img_size=64, window_size=4, depths=(2, 2, 2, 2)),
            [f'layers.{k}.blocks' for k in range(4)],
        ),
        (lambda: torchvision.models.shufflenet_v2_x0_5(), []),
        (
            lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2),
            ['layers'],
        ),
    ],
    ids=['deit', 'vit', 'swin', 'shufflenet', 'torch'],
)
def test_stages_of_other_networks(make, stages):
    torch.manual_seed(0)
    network = make()
    is_sequence = isinstance(network, nn.TransformerEncoder)
    size = 64 if stages[1:] else 32
    shares = branch_shares(network, torch.randn(2, 5, 16) if is_sequence else torch.randn(2, 3, size, size))
    assert list(shares) == stages
    assert all(0.01 < share < 0.5 for share in shares.values())


def test_additions_of_transformers_are_two_a_layer():
    """Neither the position, nor windows, nor heads, nor biases are among them."""
    network = timm.create_model('vit_tiny_patch16_224', img_size=32, depth=3).eval()
    with torch.no_grad(), BranchWatch(network) as watch:
        network(torch.randn(2, 3, 32, 32))
    (stage,) = watch._stages.values()
    assert len(stage.shares) == 6
