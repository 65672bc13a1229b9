"""Exports loaded by the libraries they are for: timm, ONNX Runtime, and timm's and the model hub's folder."""

import builtins
import copy
import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from tool_module import load_tool
from torch import nn

from uscl_plugin.weights.backbone_export import export_backbone, turn_to_rgb
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

MEAN, STD = [10.0, 20.0, 30.0], [50.0, 60.0, 70.0]


class Network(nn.Module):
    """Torchvision's ResNet: (N, 3, H, W) normalised → features (N, C) and the maps of four stages."""

    def __init__(self, depth=18):
        super().__init__()
        torch.manual_seed(0)
        self.net = getattr(torchvision.models, f'resnet{depth}')()
        for module in self.net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        self.eval()

    def forward(self, images):
        net, maps = self.net, []
        x = net.maxpool(net.bn1(net.conv1(images)).relu())
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            x = stage(x)
            maps.append(x)
        return [x.mean((2, 3)), *maps]


@pytest.fixture(scope='module')
def network():
    return Network()


@pytest.fixture(scope='module')
def source(network, tmp_path_factory):
    path = tmp_path_factory.mktemp('source') / 'epoch_3.pth'
    torch.save(network.net.state_dict(), path)
    return path


def given(order='rgb', **others):
    return {'mean': MEAN, 'std': STD, 'channel_order': order, 'license': 'CC-BY-4.0', 'data': 'US-4, POCUS'} | others


def normalised(images, mean, std):
    mean, std = (torch.tensor(values, dtype=torch.float32).reshape(3, 1, 1) for values in (mean, std))
    return (images - mean) / std


def close(got, expected):
    for ours, theirs in zip(got, expected, strict=True):
        assert theirs.std() > 1e-2
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_timm_loads_the_file(tmp_path, source, network, suffix):
    timm = pytest.importorskip('timm')
    out = tmp_path / f'out{suffix}'
    export_backbone(source, out, 'timm', given())
    images = torch.randn(2, 3, 64, 64)
    net = timm.create_model('resnet18', checkpoint_path=str(out), num_classes=0).eval()
    close([net(images)], network(images)[:1])
    net = timm.create_model('resnet18', features_only=True).eval()
    net.load_state_dict(load_plain_checkpoint(out).get('state_dict') or torch.load(out), strict=True)
    close(net(images)[1:], network(images)[1:])


@pytest.mark.parametrize('depth', [18, 34, 50, 101, 152])
def test_timm_has_torchvisions_names(depth):
    timm = pytest.importorskip('timm')
    with torch.device('meta'):
        theirs = timm.create_model(f'resnet{depth}', num_classes=0).state_dict()
        ours = getattr(torchvision.models, f'resnet{depth}')().state_dict()
    assert {name: value.shape for name, value in theirs.items()} == {
        name: value.shape for name, value in ours.items() if not name.startswith('fc.')
    }


@pytest.fixture(scope='module')
def onnx_file(source, tmp_path_factory):
    pytest.importorskip('onnxruntime')
    out = tmp_path_factory.mktemp('onnx') / 'backbone.onnx'
    report = export_backbone(source, out, 'onnx', given())
    assert 'checked in ONNX Runtime' in report and 'left behind: fc 2' in report
    return out


@torch.no_grad()
@pytest.mark.parametrize('batch', [1, 2, 5])
@pytest.mark.parametrize('size', [(32, 32), (64, 64), (65, 97), (96, 224)])
def test_onnx_gives_the_same_for_any_batch_and_size(onnx_file, network, batch, size):
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_file, providers=['CPUExecutionProvider'])
    assert [output.name for output in session.get_outputs()] == ['features', 'layer1', 'layer2', 'layer3', 'layer4']
    images = torch.randn(batch, 3, *size)
    close(map(torch.from_numpy, session.run(None, {'image': images.numpy()})), network(images))


def test_onnx_describes_itself(onnx_file, source):
    import onnx

    model = onnx.load(onnx_file)
    onnx.checker.check_model(model, full_check=True)
    meta = {prop.key: prop.value for prop in model.metadata_props}
    assert json.loads(meta['mean']) == MEAN and json.loads(meta['std']) == STD and meta['channel_order'] == 'rgb'
    assert meta['license'] == 'CC-BY-4.0' and meta['data'] == 'US-4, POCUS' and meta['architecture'] == 'resnet18'
    assert json.loads(meta['source'])['sha256'] == hashlib.sha256(source.read_bytes()).hexdigest()
    (image,) = model.graph.input
    shape = [dim.dim_param or dim.dim_value for dim in image.type.tensor_type.shape.dim]
    assert shape == ['N', 3, 'H', 'W'] and 'RGB' in image.doc_string and str(MEAN) in image.doc_string


@pytest.mark.parametrize('missing', ['onnx', 'onnxruntime'])
def test_missing_package_is_named_with_the_extra(tmp_path, source, monkeypatch, missing):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == missing:
            raise ImportError(name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', refuse)
    with pytest.raises(ValueError, match=rf"{missing}: pip install 'uscl_plugin\[export\]'\.") as error:
        export_backbone(source, tmp_path / 'a.onnx', 'onnx', given())
    assert '\n' not in str(error.value) and not list(tmp_path.iterdir())


def test_onnx_that_differs_is_not_written(tmp_path, source, monkeypatch):
    onnxruntime = pytest.importorskip('onnxruntime')
    real = onnxruntime.InferenceSession.run

    def off(self, *args, **kwargs):
        return [array * 1.001 for array in real(self, *args, **kwargs)]

    monkeypatch.setattr(onnxruntime.InferenceSession, 'run', off)
    with pytest.raises(ValueError, match='PyTorch'):
        export_backbone(source, tmp_path / 'a.onnx', 'onnx', given())
    assert not list(tmp_path.iterdir())


@torch.no_grad()
@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_timm_loads_the_folder_and_its_normalisation(tmp_path, monkeypatch, source, network, order):
    timm = pytest.importorskip('timm', minversion='1.0.16')
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'ours').mkdir()  # empty: that is allowed
    export_backbone(source, 'ours', 'hub', given(order))
    net = timm.create_model('local-dir:ours', pretrained=True, num_classes=0).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64)).float()  # red, green, blue
    config = timm.data.resolve_data_config({}, model=net)
    got = net(normalised(images / 255, config['mean'], config['std']))
    close([got], network(normalised(images if order == 'rgb' else images.flip(1), MEAN, STD))[:1])
    assert net.num_features == 512 and tuple(config['input_size']) == (3, 224, 224)
    assert timm.create_model('local-dir:ours', pretrained=True, num_classes=5)(images).shape == (2, 5)


def test_model_card(tmp_path, monkeypatch, source):
    yaml = pytest.importorskip('yaml')
    monkeypatch.chdir(tmp_path)
    report = export_backbone(source, 'ours', 'hub', given('bgr'))
    assert 'mean [30.0, 20.0, 10.0], std [70.0, 60.0, 50.0] of 0..255, rgb' in report
    assert {path.name for path in Path('ours').iterdir()} == {'model.safetensors', 'config.json', 'README.md'}
    card = Path('ours', 'README.md').read_text(encoding='utf-8')
    _, front, text = card.split('---\n', 2)
    head = yaml.safe_load(front)
    assert head['license'] == 'cc-by-4.0' and head['library_name'] == 'timm' and head['datasets'] == ['US-4', 'POCUS']
    for name in ('model.safetensors', 'config.json'):
        assert f'{hashlib.sha256(Path("ours", name).read_bytes()).hexdigest()}  {name}' in text
    assert '[30.0, 20.0, 10.0]' in text and '[70.0, 60.0, 50.0]' in text and str(tmp_path) not in card
    assert '[0.117647, 0.078431, 0.039216]' in text and '{{' not in text
    again = load_plain_checkpoint('ours/model.safetensors')  # as good as the checkpoint for another export
    assert json.loads(again['meta']['mean']) == MEAN[::-1] and again['meta']['channel_order'] == 'rgb'


@pytest.mark.parametrize(
    ('licence', 'front'),
    [
        (None, {'license': 'unknown'}),
        ('Our terms: see "X"', {'license': 'other', 'license_name': 'Our terms: see "X"'}),
    ],
)
def test_licence_of_the_card(tmp_path, source, licence, front):
    yaml = pytest.importorskip('yaml')
    export_backbone(source, tmp_path / 'ours', 'hub', given(license=licence, data=None))
    head = yaml.safe_load((tmp_path / 'ours' / 'README.md').read_text(encoding='utf-8').split('---\n')[1])
    assert {key: head[key] for key in front} == front and 'datasets' not in head


def test_names_of_the_card_are_text_whatever_they_look_like(tmp_path, source):
    yaml = pytest.importorskip('yaml')
    odd = 'a|b <b>x</b>: \x1b[2J # "q"'
    export_backbone(source, tmp_path / 'ours', 'hub', given(license=f'Our\nterms {odd}', data=f'{odd}, no, 1.0, Café'))
    _, front, text = (tmp_path / 'ours' / 'README.md').read_text(encoding='utf-8').split('---\n', 2)
    head = yaml.safe_load(front)
    assert head['datasets'] == [odd, 'no', '1.0', 'Café']
    assert (head['license'], head['license_name']) == ('other', f'Our terms {odd}')
    shown = r'a\|b &lt;b&gt;x&lt;/b&gt;: \\x1b\[2J # "q"'
    assert f'| trained on | {shown}, no, 1.0, Café |' in text and f'| Our terms {shown} |' in text
    assert '\x1b' not in front + text and '{{' not in text


def test_folder_needs_the_hubs_package(tmp_path, source, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(CheckpointError, match=r"--to hub needs huggingface_hub: pip install 'uscl_plugin\[export\]'"):
        export_backbone(source, tmp_path / 'ours', 'hub', given())
    assert not list(tmp_path.iterdir())


@torch.no_grad()
def test_code_of_the_model_card_runs(tmp_path, monkeypatch, source, network):
    pytest.importorskip('timm', minversion='1.0.16')
    from mmpretrain.models import ResNet

    monkeypatch.chdir(tmp_path)
    export_backbone(source, 'ours', 'hub', given())
    blocks = [block.split('```')[0] for block in Path('ours', 'README.md').read_text().split('```python\n')[1:]]
    images, found = torch.randn(2, 3, 64, 64), {}
    for block in blocks:
        exec(block, found)
        if 'model' in found:
            net = ResNet(**{key: value for key, value in found['model']['backbone'].items() if key != 'type'})
            net.init_weights()
            net.eval()
            close(net(images)[0].mean((2, 3))[None], network(images)[0][None])
        else:
            net = copy.deepcopy(found['net']).eval()
            net.fc = nn.Identity()
            close([net(images)], network(images)[:1])
    assert len(blocks) == 3


def test_folder_that_is_not_empty_stays(tmp_path, source):
    (tmp_path / 'ours').mkdir()
    (tmp_path / 'ours' / 'a.txt').write_text('mine')
    for name in ('ours', 'ours/a.txt'):
        with pytest.raises(ValueError, match='already exists'):
            export_backbone(source, tmp_path / name, 'hub', given())
    assert [path.name for path in tmp_path.rglob('*')] == ['ours', 'a.txt']


def test_failed_folder_leaves_nothing(tmp_path, source, monkeypatch):
    import uscl_plugin.weights.hub_folder as module

    monkeypatch.setattr(module, 'model_card', lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_backbone(source, tmp_path / 'ours', 'hub', given())
    assert not list(tmp_path.iterdir())


def test_rgb_stays_as_it_is():
    network, meta = nn.Conv2d(3, 2, 7), {'channel_order': 'rgb', 'mean': MEAN, 'std': STD}
    before = network.weight.clone()
    assert turn_to_rgb(network, meta) == meta and torch.equal(network.weight, before)


def test_tool_passes_licence_and_data(tmp_path, source):
    tool = load_tool('tools/model_converters/export_backbone.py')
    options = ['--mean', '1', '--std', '2', '--channel-order', 'rgb', '--license', 'MIT', '--data', 'US-4']
    assert tool.main([str(source), str(tmp_path / 'a.pth'), '--to', 'timm', *options]) == 0
    meta = json.loads((tmp_path / 'a.pth.json').read_text())
    assert meta['license'] == 'MIT' and meta['data'] == 'US-4' and meta['mean'] == [1.0] * 3


@pytest.mark.parametrize('option', ['--half', '--int8=data'])
def test_an_option_of_another_target_is_refused(tmp_path, capsys, option):
    tool = load_tool('tools/model_converters/export_backbone.py')
    assert tool.main([str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth'), '--to', 'timm', option]) == 1
    assert f'{option.partition("=")[0]} is for --to' in capsys.readouterr().err
