"""Residual branches take part from the first step: MMPretrain's and MMDetection's own default shuts them."""

import copy

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from uscl_plugin.evaluation.backbones import load_backbone
from uscl_plugin.evaluation.pretrained_backbone import untrained_backbone


def branch_norms(network):
    """The last batch norm of each residual block, by the block's name."""
    found = {}
    for name, module in network.named_modules():
        if type(module).__name__ in ('BasicBlock', 'Bottleneck'):
            norms = [child for key, child in module.named_children() if key.startswith('bn') and child is not None]
            found[name] = norms[-1]
    return found


def shipped_backbones(root):
    """Every distinct backbone of the shipped configs, without the weights that it starts from: (scope, config)."""
    found = {}
    for path in sorted((root / 'configs').rglob('*.py')):
        cfg = {} if '_base_' in path.parts else Config.fromfile(path, import_custom_modules=False)
        if 'model' in cfg:
            backbone = copy.deepcopy(cfg.model.backbone.to_dict())
            backbone.pop('init_cfg', None)
            found.setdefault((cfg.default_scope, str(sorted(backbone.items(), key=str))), backbone)
    return [(scope, backbone) for (scope, _), backbone in found.items()]


def assert_open(network):
    """Shutting any one branch changes the output."""
    torch.manual_seed(0)
    image = torch.randn(2, 3, 32, 32)
    blocks = branch_norms(network)
    assert len(blocks) >= 8
    with torch.no_grad():
        network.eval()
        whole = network(image)[-1].clone()
        for name, norm in blocks.items():
            kept = norm.weight.clone()
            norm.weight.zero_()
            assert (network(image)[-1] - whole).abs().max() > 1e-3 * whole.abs().max(), name
            norm.weight.copy_(kept)


def test_every_branch_of_every_shipped_config_is_open(root):
    import uscl_plugin.compat.mmcv_ops  # noqa: F401 (in place of mmcv's, which MMDetection imports)

    pytest.importorskip('mmdet')
    backbones = shipped_backbones(root)
    assert {scope for scope, _ in backbones} == {'mmpretrain', 'mmdet'}
    assert {backbone['depth'] for _, backbone in backbones} == {18, 50}
    for scope, backbone in backbones:
        network = MODELS.build(copy.deepcopy(backbone), default_args={'_scope_': scope})
        network.init_weights()
        assert_open(network)


def test_branches_of_untrained_networks_are_open(root):
    assert_open(load_backbone('random', seed=1).network)
    assert_open(untrained_backbone(Config.fromfile(root / 'configs' / 'uscl' / 'uscl_resnet18_demo.py'), seed=1))


@pytest.mark.parametrize(('spec', 'depth'), [('random', 18), ('random50', 50)])
def test_random_is_torchvisions_initialisation(spec, depth):
    """Tensor by tensor: equal constants, and normal weights of the same scale."""
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, f'resnet{depth}')()
    ours = {name: module for name, module in load_backbone(spec, seed=1).network.named_modules()}
    norms = convolutions = 0
    for name, module in theirs.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            norms += 1
            for tensor in ('weight', 'bias', 'running_mean', 'running_var'):
                assert torch.equal(getattr(ours[name], tensor), getattr(module, tensor)), (name, tensor)
        elif isinstance(module, nn.Conv2d):
            convolutions += 1
            found, wanted = ours[name].weight, module.weight
            assert not torch.equal(found, wanted)
            spread = 4 / (2 * wanted.numel()) ** 0.5  # four standard errors of a standard deviation
            assert abs(found.std() / wanted.std() - 1) < 2**0.5 * spread
            assert abs(found.mean()) < 4 * wanted.std() / wanted.numel() ** 0.5
            assert abs((found / found.std()).pow(4).mean() - 3) < 4 * (96 / wanted.numel()) ** 0.5  # normal
    assert (norms, convolutions) == ((20, 20) if depth == 18 else (53, 53))
