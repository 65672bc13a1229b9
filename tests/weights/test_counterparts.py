"""The same network in torchvision and timm: loaded there without this package, it has to give the same features."""

import json
from pathlib import Path

import pytest
import torch
import torchvision
from mmpretrain.registry import MODELS
from safetensors.torch import load_file
from tool_module import load_tool

from uscl_plugin.compat.backbone_io import pool
from uscl_plugin.weights import stored_backbone
from uscl_plugin.weights.architectures import backbone_config
from uscl_plugin.weights.backbone_export import export_backbone
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.checkpoint_files import write_checkpoint
from uscl_plugin.weights.stored_backbone import read_backbone

RESNET = dict(type='ResNet', depth=18)
SLOW = pytest.mark.slow


def trained(config, size=64):
    """A network whose statistics and weights are not the initial ones."""
    torch.manual_seed(0)
    network = MODELS.build(dict(config))
    for module in network.modules():
        if getattr(module, 'running_mean', None) is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    network.eval()
    return network


def save(folder, config, size=64, channels=3):
    network = trained(config)
    own = {'size': size, 'mean': [127.5] * 3, 'std': [63.75] * 3, 'channels': 'rgb'}
    meta = {'uscl': {'version': 1, 'backbone': dict(config), 'input': own}}
    meta |= {'mean': [127.5] * 3, 'std': [63.75] * 3, 'channel_order': 'rgb'}
    path = folder / 'trained.pth'
    write_checkpoint(path, {f'backbone.{name}': tensor for name, tensor in network.state_dict().items()}, meta)
    return network, path


@torch.no_grad()
def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ('name', 'theirs', 'without'),
    [
        ('resnet18', 'resnet18', ['fc']),
        ('mobilenet_v3_small', 'mobilenet_v3_small', ['classifier']),
        ('shufflenet_v2', 'shufflenet_v2_x1_0', ['fc']),
        pytest.param('resnext50', 'resnext50_32x4d', ['fc'], marks=SLOW),
        pytest.param('convnext_tiny', 'convnext_tiny', ['classifier.2'], marks=SLOW),
    ],
)
@torch.no_grad()
def test_torchvision(tmp_path, name, theirs, without):
    network, path = save(tmp_path, backbone_config(name, 64))
    export_backbone(path, tmp_path / 'out.pth', 'torchvision')
    model = torchvision.models.get_model(theirs)
    missing, unexpected = model.load_state_dict(torch.load(tmp_path / 'out.pth', weights_only=True), strict=False)
    assert not unexpected and {key.rpartition('.')[0].split('.3')[0].split('.0')[0] for key in missing} <= {*without}
    model.eval()
    for place in without:
        parent, _, last = place.rpartition('.')
        setattr(model.get_submodule(parent), last, torch.nn.Identity())
    images = torch.randn(2, 3, 96, 64)
    close(model(images), pool(network(images)))


@pytest.mark.parametrize(
    ('name', 'theirs', 'arguments'),
    [
        ('resnet18', 'resnet18', {}),
        ('regnetx_400mf', 'regnetx_004', {}),
        ('convnext_atto', 'convnext_atto', {}),
        ('vit_tiny', 'deit_tiny_patch16_224', dict(img_size=64, global_pool='avg', fc_norm=False)),
        ('timm:tf_efficientnet_lite0', 'tf_efficientnet_lite0', {}),
        ('timm:vit_tiny_patch16_224', 'vit_tiny_patch16_224', dict(img_size=64, global_pool='avg', fc_norm=False)),
        pytest.param('seresnet50', 'seresnet50', {}, marks=SLOW),
    ],
)
@torch.no_grad()
def test_timm(tmp_path, name, theirs, arguments):
    timm = pytest.importorskip('timm')
    network, path = save(tmp_path, backbone_config(name, 64))
    export_backbone(path, tmp_path / 'out.pth', 'timm')
    model = timm.create_model(theirs, num_classes=0, **arguments).eval()
    model.load_state_dict(torch.load(tmp_path / 'out.pth', weights_only=True), strict=True)
    facts = json.loads(Path(f'{tmp_path}/out.pth.json').read_text())
    assert (facts['names'], facts['model'], facts['arguments']) == ('timm', theirs, arguments)
    images = torch.randn(2, 3, 64, 64)
    close(model(images), pool(network(images)))
    export_backbone(path, tmp_path / 'hub', 'hub')
    hub = timm.create_model(f'local-dir:{tmp_path}/hub', pretrained=True, num_classes=0).eval()
    close(hub(images), pool(network(images)))


@torch.no_grad()
def test_a_hub_folder_in_half_precision(tmp_path):
    timm = pytest.importorskip('timm')
    network, path = save(tmp_path, backbone_config('timm:tf_efficientnet_lite0', 64))
    tool = load_tool('tools/model_converters/export_backbone.py')
    for folder, options in (('whole', []), ('half', ['--half'])):
        assert tool.main([str(path), str(tmp_path / folder), '--to', 'hub', *options]) == 0
    stored = load_file(tmp_path / 'half' / 'model.safetensors')
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16, torch.int64}
    whole, half = ((tmp_path / folder / 'model.safetensors').stat().st_size for folder in ('whole', 'half'))
    assert half < 0.53 * whole
    model = timm.create_model(f'local-dir:{tmp_path}/half', pretrained=True, num_classes=0).eval()
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32, torch.int64}
    images = torch.randn(2, 3, 64, 64)
    wanted, found = pool(network(images)), model(images)
    assert 0 < float((found - wanted).abs().max()) < 0.01 * float(wanted.abs().max())
    with torch.no_grad():
        stored = torch.load(path, weights_only=True)
        name = next(name for name, tensor in stored['state_dict'].items() if tensor.is_floating_point())
        stored['state_dict'][name] *= 1e6
        torch.save(stored, path)
    with pytest.raises(CheckpointError, match=r'too large for half precision: export without --half'):
        export_backbone(path, tmp_path / 'large', 'hub', half=True)
    assert not (tmp_path / 'large').exists()


@pytest.mark.slow
@pytest.mark.parametrize('library', ['torchvision', 'timm'])
def test_swin_at_the_size_of_its_windows(tmp_path, library):
    network, path = save(tmp_path, backbone_config('swin_tiny', 224), 224)
    assert 'checked: ' in export_backbone(path, tmp_path / 'out.pth', library)
    found = read_backbone(tmp_path / 'out.pth')
    assert all(torch.equal(found.state[name], tensor) for name, tensor in network.state_dict().items())
    _, small = save(tmp_path, backbone_config('swin_tiny', 64))
    with pytest.raises(CheckpointError, match='at 64 px'):
        export_backbone(small, tmp_path / 'other.pth', 'torchvision')


@pytest.mark.parametrize(
    ('config', 'named'),
    [
        (RESNET | dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)), r'strides=.*dilations='),
        (RESNET | dict(norm_cfg=dict(type='BN', eps=1e-3)), r'norm_cfg=.*0\.001'),
        (RESNET | dict(norm_cfg=dict(type='BN', eps=1.1e-5)), r'norm_cfg='),
        (RESNET | dict(depth=50, style='caffe'), 'style=caffe'),
        (RESNET | dict(deep_stem=True), 'deep_stem=True'),
    ],
)
@pytest.mark.parametrize('target', ['torchvision', 'timm', 'hub'])
def test_another_network_is_refused_by_what_differs(tmp_path, config, named, target):
    _, path = save(tmp_path, config)
    out = tmp_path / ('out' if target == 'hub' else 'out.pth')
    with pytest.raises(CheckpointError, match=named) as caught:
        export_backbone(path, out, target)
    assert str(path) in str(caught.value) and 'onnx' in str(caught.value) and not out.exists()


@pytest.mark.parametrize('name', ['regnetx_400mf', 'resnet18'])
@torch.no_grad()
def test_an_export_is_read_again_as_the_network_that_was_trained(tmp_path, name):
    network, path = save(tmp_path, backbone_config(name, 64))
    export_backbone(path, tmp_path / 'timm.pth', 'timm')
    found = read_backbone(tmp_path / 'timm.pth')
    images = torch.randn(2, 3, 64, 64)
    close(pool(found.build('x')(images)), pool(network(images)))
    assert found.architecture == name
    facts = json.loads(Path(f'{tmp_path}/timm.pth.json').read_text())
    assert facts['uscl']['backbone']['type'] == network.__class__.__name__


@torch.no_grad()
def test_a_network_of_grey_images_becomes_an_equal_one_of_colour(tmp_path):
    network, path = save(tmp_path, RESNET | dict(in_channels=1))
    export_backbone(path, tmp_path / 'out.pth', 'torchvision')
    model = torchvision.models.resnet18()
    model.load_state_dict(torch.load(tmp_path / 'out.pth', weights_only=True), strict=False)
    model.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    grey = (images * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    close(model.eval()(images), pool(network(grey)))
    export_backbone(path, tmp_path / 'as_it_is.pth', 'mmpretrain')
    assert read_backbone(tmp_path / 'as_it_is.pth').state['conv1.weight'].shape[1] == 1


@torch.no_grad()
def test_the_first_convolution_is_the_networks_first_whatever_the_order_of_the_file(tmp_path):
    """Sorted by name, the first weights of EfficientNet are those of a depthwise convolution."""
    pytest.importorskip('timm')
    network, path = save(tmp_path, backbone_config('timm:tf_efficientnet_lite0', 64) | dict(in_channels=1))
    content = torch.load(path, weights_only=True)
    content['state_dict'] = dict(sorted(content['state_dict'].items()))
    torch.save(content, path)
    images = torch.randn(2, 3, 64, 64)
    grey = (images * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    close(pool(read_backbone(path).for_colour(path).build(path)(images)), pool(network(grey)))


def test_a_network_is_built_once_and_given_away_in_copies(tmp_path, monkeypatch):
    network, path = save(tmp_path, RESNET)
    made, whole = [], stored_backbone.build_network
    monkeypatch.setattr(stored_backbone, 'build_network', lambda *args: made.append(args) or whole(*args))
    found = read_backbone(path).for_colour(path)
    first, second = found.build(path), found.build(path)
    torch.nn.init.zeros_(first.conv1.weight)
    assert torch.equal(second.conv1.weight, network.conv1.weight) and len(made) == 1


def test_weights_of_another_network_than_the_file_says(tmp_path):
    _, path = save(tmp_path, RESNET)
    content = torch.load(path, weights_only=True)
    content['meta']['uscl']['backbone']['depth'] = 50
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r'trained\.pth does not fit the network'):
        export_backbone(path, tmp_path / 'out.pth', 'mmdet')


def test_commands_in_the_stated_backbone_are_not_run(tmp_path):
    _, path = save(tmp_path, RESNET)
    content = torch.load(path, weights_only=True)
    content['meta']['uscl']['backbone'] = dict(type='os.system', command=f'touch {tmp_path}/ran')
    torch.save(content, path)
    for act in (lambda: read_backbone(path), lambda: export_backbone(path, tmp_path / 'out.pth', 'mmdet')):
        with pytest.raises(CheckpointError, match=r'os\.system'):
            act()
    assert not (tmp_path / 'ran').exists()
