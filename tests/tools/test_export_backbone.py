import hashlib
import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torchvision
from mmengine.config import Config
from safetensors import safe_open
from tool_module import load_tool
from torch import nn

from uscl.version import __version__
from uscl_plugin.weights.backbone_export import export_backbone
from uscl_plugin.weights.backbone_import import import_backbone
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.provenance import kept_provenance

CONFIG = dict(
    model=dict(
        type='mmpretrain.USCL',
        data_preprocessor=dict(type='SelfSupDataPreprocessor', mean=[127.5] * 3, std=[63.75] * 3, to_rgb=True),
        backbone=dict(type='ResNet', depth=18),
    ),
    data_preprocessor=dict(mean=[1.0] * 3, std=[2.0] * 3),  # the model's own has precedence
)
GIVEN = ['--mean', '127.5', '--std', '63.75', '--channel-order', 'rgb']


tool = load_tool('tools/model_converters/export_backbone.py')


@pytest.fixture(scope='module')
def reference():
    """A ResNet-18 with batch norms far from the identity, images, and its four stages' features (N, C, H, W)."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            module.num_batches_tracked.fill_(7)
    images = torch.randn(2, 3, 64, 64)
    return model, images, stages(model, images)


@torch.no_grad()
def stages(model, images):
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    features = []
    for name in ('layer1', 'layer2', 'layer3', 'layer4'):
        x = getattr(model, name)(x)
        features.append(x)
    return features


def same(got, expected):
    for ours, theirs in zip(got, expected, strict=True):
        assert theirs.std() > 1e-2
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.fixture
def checkpoint(reference):
    """As MMEngine saves a pretraining: other modules, optimiser and the config's text beside the backbone."""
    backbone = {f'backbone.{k}': v for k, v in reference[0].state_dict().items() if not k.startswith('fc.')}
    return {
        'meta': {'epoch': 3, 'iter': 40, 'cfg': Config(CONFIG).pretty_text},
        'state_dict': OrderedDict(**backbone, **{f'neck.mlp.{i}.bias': torch.zeros(1) for i in (0, 2)}),
        'optimizer': {'state': {0: {'exp_avg': torch.zeros(2), 'step': torch.tensor(1.0)}}, 'param_groups': []},
        'message_hub': {'runtime_info': {}},
    }


def export(tmp_path, checkpoint, target, *options, suffix='.pth', status=0):
    source, out = tmp_path / 'epoch_3.pth', tmp_path / f'out{suffix}'
    if checkpoint is not None:
        torch.save(checkpoint, source)
    assert tool.main([str(source), str(out), '--to', target, *options]) == status
    return out


def refused(tmp_path, capsys, checkpoint, *options, target='mmdet'):
    """The error of an export that has to leave an existing output and the folder as they were."""
    out = tmp_path / 'out.pth'
    out.write_bytes(b'old')
    export(tmp_path, checkpoint, target, *options, status=1)
    assert out.read_bytes() == b'old'
    assert {path.name for path in tmp_path.iterdir()} <= {'out.pth', 'epoch_3.pth'}
    error = capsys.readouterr().err
    assert error.startswith('error: ') and error.count('\n') == 1
    return error


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_torchvision(tmp_path, checkpoint, reference, suffix):
    out = export(tmp_path, checkpoint, 'torchvision', suffix=suffix)
    if suffix == '.pth':
        state = torch.load(out, weights_only=True)
        sidecar = json.loads((tmp_path / 'out.pth.json').read_text())
        assert sidecar['weights'] == {'file': 'out.pth', 'sha256': hashlib.sha256(out.read_bytes()).hexdigest()}
        assert sidecar['mean'] == [127.5] * 3 and sidecar['architecture'] == 'resnet18'
    else:
        state = load_plain_checkpoint(out)['state_dict']
        assert not (tmp_path / 'out.safetensors.json').exists()
    model = torchvision.models.resnet18().eval()
    result = model.load_state_dict(state, strict=False)
    assert result.missing_keys == ['fc.weight', 'fc.bias'] and result.unexpected_keys == []
    same(stages(model, reference[1]), reference[2])
    assert model.bn1.num_batches_tracked == 7


@torch.no_grad()
def test_mmpretrain_through_init_cfg(tmp_path, checkpoint, reference):
    from mmpretrain.models.backbones import ResNet

    out = export(tmp_path, checkpoint, 'mmpretrain')
    pretrained = dict(type='Pretrained', checkpoint=str(out), prefix='backbone.')
    model = ResNet(18, out_indices=(0, 1, 2, 3), init_cfg=pretrained)
    model.init_weights()
    model.eval()
    same(model(reference[1]), reference[2])


@torch.no_grad()
def test_mmdet_through_init_cfg(tmp_path, checkpoint, reference):
    import uscl_plugin.compat.mmcv_ops  # noqa: F401 (importing MMDetection's models wants names of compiled ops)

    ResNet = pytest.importorskip('mmdet.models.backbones.resnet').ResNet  # noqa: N806
    out = export(tmp_path, checkpoint, 'mmdet')
    model = ResNet(18, init_cfg=dict(type='Pretrained', checkpoint=str(out), prefix='backbone.'))
    model.init_weights()
    model.eval()
    same(model(reference[1]), reference[2])


def test_metadata_and_report(tmp_path, checkpoint, capsys):
    out = export(tmp_path, checkpoint, 'mmdet')
    digest = hashlib.sha256((tmp_path / 'epoch_3.pth').read_bytes()).hexdigest()
    expected = {
        'method': 'USCL',
        'license': 'not stated',
        'data': 'not stated',
        'architecture': 'resnet18',
        'mean': [127.5] * 3,
        'std': [63.75] * 3,
        'channel_order': 'rgb',
        'input_range': [0, 255],
        'source': {'file': 'epoch_3.pth', 'sha256': digest},
        'epoch': 3,
        'iter': 40,
        'uscl_plugin_version': __version__,
        'uscl': {
            'version': 1,
            'backbone': {'type': 'ResNet', 'depth': 18},
            'input': {'size': None, 'mean': [127.5] * 3, 'std': [63.75] * 3, 'channels': 'rgb'},
        },
    }
    assert torch.load(out, weights_only=True)['meta'] == expected
    header = safe_open(export(tmp_path, checkpoint, 'mmdet', suffix='.safetensors'), framework='pt').metadata()
    assert header.pop('format') == 'pt' and header.pop('method') == 'USCL'
    assert {key: json.loads(header[key]) for key in ('mean', 'source', 'epoch')} == {
        key: expected[key] for key in ('mean', 'source', 'epoch')
    }
    assert str(tmp_path) not in json.dumps([expected, header])
    assert capsys.readouterr().out.splitlines()[:3] == [
        f'{out}: 120 backbone tensors (resnet18, USCL), names for mmdet',
        'input: mean [127.5, 127.5, 127.5], std [63.75, 63.75, 63.75] of 0..255, rgb',
        'left behind: neck 2, optimizer 2',
    ]


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_export_of_an_export_keeps_what_is_known(tmp_path, checkpoint, suffix):
    first = export(tmp_path, checkpoint, 'mmpretrain', '--license', 'MIT', '--data', 'COVID-BLUES', suffix=suffix)
    second = tmp_path / 'second.pth'
    assert tool.main([str(first), str(second), '--to', 'mmseg', '--license', 'cc-by-4.0']) == 0
    meta = torch.load(second, weights_only=True)['meta']
    assert meta['license'] == 'cc-by-4.0' and meta['data'] == 'COVID-BLUES'
    assert meta['method'] == 'USCL' and meta['mean'] == [127.5] * 3 and meta['channel_order'] == 'rgb'


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_views_and_channels_last_become_plain_tensors(tmp_path, checkpoint, reference, suffix):
    state = checkpoint['state_dict']
    state['backbone.conv1.weight'] = state['backbone.conv1.weight'].to(memory_format=torch.channels_last)
    state['backbone.bn1.weight'] = torch.cat([state['backbone.bn1.weight'], torch.zeros(10**6)])[:64]
    out = load_plain_checkpoint(export(tmp_path, checkpoint, 'mmdet', suffix=suffix))['state_dict']
    assert out['backbone.conv1.weight'].is_contiguous()
    assert torch.equal(out['backbone.conv1.weight'], reference[0].conv1.weight)
    assert out['backbone.bn1.weight'].untyped_storage().nbytes() == 64 * 4


def test_bare_state_dict_needs_the_command_line(tmp_path, reference, capsys):
    state = reference[0].state_dict()
    assert 'pass --mean --std --channel-order' in refused(tmp_path, capsys, state)
    out = export(tmp_path, state, 'mmdet', *GIVEN)
    assert 'left behind: fc 2\n' in capsys.readouterr().out
    meta = torch.load(out, weights_only=True)['meta']
    assert meta['std'] == [63.75] * 3 and meta['channel_order'] == 'rgb' and meta['method'] == 'unknown'


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (['--mean', '123.675', '116.28', '103.53'], 'contradicts --mean [123.675, '),
        (['--std', '1.5'], 'contradicts --std [1.5, 1.5, 1.5]'),
        (['--channel-order', 'bgr'], 'contradicts --channel-order bgr'),
        (['--std', '0.25'], 'multiply mean and std by 255'),
        (['--mean', '1', '2'], '1 or 3 numbers'),
    ],
)
def test_contradictions_and_senseless_input(tmp_path, checkpoint, capsys, options, text):
    assert text in refused(tmp_path, capsys, checkpoint, *options)


def test_input_that_is_no_number(tmp_path, checkpoint, capsys):
    with pytest.raises(SystemExit) as ended:
        export(tmp_path, checkpoint, 'mmdet', '--mean', 'nan')
    assert ended.value.code == 2 and 'argument --mean: nan should be a finite number' in capsys.readouterr().err


def test_agreeing_command_line_is_accepted(tmp_path, checkpoint):
    export(tmp_path, checkpoint, 'mmdet', *GIVEN)


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'backbone.extra.weight': torch.zeros(1)}, '1 left over (extra.weight)'),
        ({'backbone.bn1.weight': None}, '1 missing (bn1.weight)'),
        ({'backbone.conv1.weight': torch.zeros(64, 1, 7, 7)}, '1 of another shape'),
        ({'backbone.layer4.1.conv2.weight': torch.zeros(512, 512, 1, 1)}, '1 of another shape'),
    ],
)
@pytest.mark.parametrize('target', ['mmdet', 'torchvision'])
def test_backbone_has_to_match_exactly(tmp_path, checkpoint, capsys, change, text, target):
    state = {k: v for k, v in {**checkpoint['state_dict'], **change}.items() if v is not None}
    error = refused(tmp_path, capsys, {**checkpoint, 'state_dict': state}, target=target)
    assert text in error and 'epoch_3.pth' in error


def test_other_inputs_are_refused(tmp_path, checkpoint, capsys):
    class Plant:
        def __reduce__(self):
            return open, (str(tmp_path / 'planted'), 'w')

    assert 'no backbone' in refused(tmp_path, capsys, {'state_dict': {'head.weight': torch.zeros(1)}})
    assert 'contains pickled code' in refused(tmp_path, capsys, {**checkpoint, 'plant': Plant()})
    assert not (tmp_path / 'planted').exists()
    (tmp_path / 'epoch_3.pth').write_bytes(b'')
    assert '0 bytes' in refused(tmp_path, capsys, None)
    (tmp_path / 'epoch_3.pth').unlink()
    assert 'epoch_3.pth does not exist' in refused(tmp_path, capsys, None)


@pytest.mark.parametrize(
    ('name', 'text'), [('out.onnx', 'should end with'), ('epoch_3.pth', 'itself'), ('a.pth', 'folder')]
)
def test_unusable_output(tmp_path, checkpoint, capsys, name, text):
    (tmp_path / 'a.pth').mkdir()
    torch.save(checkpoint, tmp_path / 'epoch_3.pth')
    before = (tmp_path / 'epoch_3.pth').read_bytes()
    assert tool.main([str(tmp_path / 'epoch_3.pth'), str(tmp_path / name), '--to', 'mmdet']) == 1
    assert text in capsys.readouterr().err
    assert (tmp_path / 'epoch_3.pth').read_bytes() == before


def test_failed_write_leaves_the_old_output(tmp_path, checkpoint, capsys, monkeypatch):
    def full(*args, **kwargs):
        raise OSError('disk full')

    monkeypatch.setattr(Path, 'replace', full)
    assert 'disk full' in refused(tmp_path, capsys, checkpoint)


PROVENANCE = {
    'version': 1,
    'backbone': {'type': 'ResNet', 'depth': 18},
    'input': {'size': 64, 'mean': [1.0, 2.0, 3.0], 'std': [4.0, 5.0, 6.0], 'channels': 'bgr'},
    'seen': {'sha256s': ['ab', 'cd'], 'signatures': ['ef=='], 'patients': {'k': ['p-1']}, 'complete': True},
}


@pytest.mark.parametrize(
    ('target', 'suffix'), [('mmdet', '.pth'), ('mmpretrain', '.safetensors'), ('timm', '.safetensors')]
)
def test_provenance_is_kept_through_exports_and_imports(tmp_path, checkpoint, target, suffix):
    checkpoint['meta']['uscl'] = PROVENANCE
    out = export(tmp_path, checkpoint, target, suffix=suffix)
    kept = kept_provenance(load_plain_checkpoint(out)['meta'])
    assert kept == {'uscl': PROVENANCE}
    import_backbone(out, tmp_path / 'in.pth')
    assert load_plain_checkpoint(tmp_path / 'in.pth')['meta']['uscl'] == PROVENANCE


def test_an_export_that_turns_the_channels_says_so_everywhere(tmp_path, checkpoint):
    meta = {'mean': [1.0, 2.0, 3.0], 'std': [4.0, 5.0, 6.0], 'channel_order': 'bgr', 'uscl': PROVENANCE}
    out = export(tmp_path, checkpoint | {'meta': meta}, 'hub', suffix='')
    written = json.loads((out / 'config.json').read_text())['uscl_plugin']
    expected = {'size': 64, 'mean': [3.0, 2.0, 1.0], 'std': [6.0, 5.0, 4.0], 'channels': 'rgb'}
    assert written['uscl'] == PROVENANCE | {'input': expected}
    assert (written['mean'], written['channel_order']) == (expected['mean'], 'rgb')


@pytest.mark.parametrize('target', ['mmdet', 'torchvision'])
def test_equal_exports_have_equal_bytes(tmp_path, checkpoint, target):
    """An evaluation recognises a backbone by its file's digest, also after the same command has written it again."""
    first = export(tmp_path, checkpoint, target).read_bytes()
    (tmp_path / 'other').mkdir()
    out = tmp_path / 'other' / 'another_name.pth'
    export_backbone(tmp_path / 'epoch_3.pth', out, target)
    assert out.read_bytes() == first
