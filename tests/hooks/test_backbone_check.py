from types import SimpleNamespace

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.model import ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor, ResNet

from uscl_plugin.evaluation.backbones import load_backbone
from uscl_plugin.evaluation.finetuning import finetune_fold
from uscl_plugin.hooks.backbone_check import BackboneCheckHook, check_input, count_arrived, pretrained_step
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.resnet_state import backbone_state

INPUT = {'mean': [127.5] * 3, 'std': [63.75] * 3, 'channel_order': 'rgb'}


def test_every_tensor_counts():
    network = ResNet(18, out_indices=(3,))
    state = dict(network.state_dict())
    assert count_arrived(network, state) == 120
    assert count_arrived(network, backbone_state(dict(torchvision_names(network)))) == 120
    old = {name: tensor for name, tensor in state.items() if 'num_batches_tracked' not in name}  # as older files are
    assert count_arrived(network, old) == 120
    for name in ('layer3.0.conv1.weight', 'bn1.running_var', 'layer1.1.bn2.bias'):
        other = {**state, name: state[name] + 1}
        with pytest.raises(CheckpointError, match=rf'120 tensors 1 .*\({name}\)'):
            count_arrived(network, other)
        del other[name]
        with pytest.raises(CheckpointError, match=rf'1 not in the checkpoint \({name}\)'):
            count_arrived(network, other)
    with pytest.raises(CheckpointError, match=r'\(extra\)'):
        count_arrived(network, {**state, 'extra': torch.zeros(1)})


def torchvision_names(network):
    yield from network.state_dict().items()
    yield 'fc.weight', torch.zeros(1000, 512)


def test_a_checkpoint_of_another_depth_is_named():
    with pytest.raises(CheckpointError, match=r'depth'):
        count_arrived(ResNet(34, out_indices=(3,)), dict(torchvision.models.resnet18().state_dict()))


@pytest.mark.parametrize('host', ['mmpretrain', 'mmdet'])
def test_the_input_must_be_that_of_the_checkpoint(host):
    if host == 'mmpretrain':
        build, rgb = ClsDataPreprocessor, 'to_rgb'
    else:
        build, rgb = ImgDataPreprocessor, 'bgr_to_rgb'
    right = {'mean': [127.5] * 3, 'std': [63.75] * 3, rgb: True}
    assert check_input('x.pth', INPUT, build(**right))
    assert not check_input('x.pth', {}, build(**right))  # says nothing
    for change, message in (
        ({'mean': [123.675, 116.28, 103.53]}, r'x.pth .*mean \[127.5, .*data_preprocessor'),
        ({'std': [1.0] * 3}, r' std '),
        ({rgb: False}, r'channel_order rgb, .*bgr'),
    ):
        with pytest.raises(CheckpointError, match=message):
            check_input('x.pth', INPUT, build(**{**right, **change}))


def test_what_arrives_in_a_run(fold_cfg, tmp_path):
    """A run starts from the checkpoint, and stops if the file is of another network."""
    cfg = fold_cfg('finetune3')
    path = pretrained_step(cfg)['checkpoint']
    finetune_fold(cfg, tmp_path / 'right')
    trained = torch.load(tmp_path / 'right' / 'model.pth', weights_only=True)['state_dict']
    start = torch.load(path, weights_only=True)['state_dict']
    torch.testing.assert_close(trained['backbone.conv1.weight'], start['backbone.conv1.weight'], rtol=0, atol=0)

    cfg.model.backbone.init_cfg.prefix = 'backbone.layer9.'
    with pytest.raises((CheckpointError, AssertionError)):
        finetune_fold(cfg, tmp_path / 'wrong')
    cfg.model.backbone.init_cfg.prefix = 'backbone.'
    cfg.model.data_preprocessor.mean = [0.0] * 3
    with pytest.raises(CheckpointError, match=r'mean'):
        finetune_fold(cfg, tmp_path / 'input')


def test_a_resnet_within_a_backbone_keeps_its_names(tmp_path):
    """Networks of timm stand under `timm_model.`, and one of them is a ResNet of torchvision's names."""
    backbone = torch.nn.Module()
    backbone.timm_model = torchvision.models.resnet18()
    path = tmp_path / 'a.pth'
    state = {f'backbone.{name}': tensor for name, tensor in backbone.state_dict().items()}
    torch.save({'state_dict': state, 'meta': {}}, path)
    step = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    cfg = Config(dict(model=dict(backbone=dict(type='TIMMBackbone', init_cfg=step))))
    told = []
    runner = SimpleNamespace(
        cfg=cfg, epoch=0, iter=0, _load_from=None, logger=SimpleNamespace(info=told.append, warning=told.append),
        model=SimpleNamespace(backbone=backbone, data_preprocessor=None),
    )  # fmt: skip
    BackboneCheckHook().before_train(runner)
    assert f'{path}: all {len(state)} tensors' in told[0]
    backbone.timm_model.conv1.weight.data += 1
    with pytest.raises(CheckpointError, match=r'1 not loaded \(timm_model\.conv1\.weight\)'):
        BackboneCheckHook().before_train(runner)


def test_a_random_backbone_has_its_own_source():
    assert load_backbone('random', 3).source == {'file': 'random', 'seed': 3}
