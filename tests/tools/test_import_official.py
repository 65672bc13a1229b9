import json
from pathlib import Path

import pytest
import torch
import torchvision
from tool_module import load_tool
from torch import nn

from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

ROOT = Path(__file__).parents[2]
LAYOUT = json.loads((ROOT / 'tests' / 'golden' / 'official_checkpoint_layout.json').read_text())


tool = load_tool('tools/model_converters/import_official.py')


class Released(nn.Module):
    """The layout of the released checkpoint with random weights, and what its forward computes."""

    def __init__(self, depth=18, classes=2):
        super().__init__()
        resnet = getattr(torchvision.models, f'resnet{depth}')()
        width = resnet.fc.in_features
        self.features = nn.Sequential(*list(resnet.children())[:-1])
        self.l1, self.l2 = nn.Linear(width, 512), nn.Linear(512, 256)
        self.fc, self.fc1, self.fc2 = nn.Linear(256, classes), nn.Linear(width, 512), nn.Linear(512, 2)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.1)
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        self.eval()

    def forward(self, images):
        h = self.features(images).flatten(1)
        z = self.l2(self.l1(h).relu())
        return h, z, self.fc(z)


@pytest.fixture(scope='module')
def released():
    torch.manual_seed(0)
    return Released()


def convert(tmp_path, state, *options, suffix='.pth', status=0):
    source, out = tmp_path / 'best_model.pth', tmp_path / f'out{suffix}'
    torch.save(state, source)
    assert tool.main([str(source), str(out), *options]) == status
    return load_plain_checkpoint(out) if status == 0 else out


def test_replica_has_the_released_layout(released):
    assert {name: list(value.shape) for name, value in released.state_dict().items()} == LAYOUT


@torch.no_grad()
@pytest.mark.parametrize(('depth', 'classes', 'parallel'), [(18, 2, False), (18, 12, True), (50, 5, False)])
def test_outputs_are_the_same_in_mmpretrain(tmp_path, capsys, depth, classes, parallel):
    from mmpretrain.models.backbones import ResNet
    from mmpretrain.models.necks import MoCoV2Neck

    torch.manual_seed(1)
    theirs = Released(depth, classes)
    checkpoint = convert(tmp_path, (nn.DataParallel(theirs) if parallel else theirs).state_dict())
    width = 512 if depth == 18 else 2048
    ours = nn.Module()
    ours.backbone = ResNet(depth)
    ours.neck = MoCoV2Neck(width, 512, 256, with_avg_pool=True)
    ours.head = nn.Module()
    ours.head.classifier = nn.Linear(256, classes)
    ours.load_state_dict(checkpoint['state_dict'], strict=True)
    ours.eval()
    images = torch.randn(2, 3, 64, 64)
    features = ours.backbone(images)
    (z,) = ours.neck(features)
    for got, expected in zip((features[0].mean((2, 3)), z, ours.head.classifier(z)), theirs(images), strict=True):
        assert expected.std() > 1e-3  # not a comparison of zeros
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    meta = checkpoint['meta']
    assert meta['mean'] == [127.5] * 3 and meta['std'] == [63.75] * 3 and meta['channel_order'] == 'rgb'
    assert meta['method'] == 'USCL (released)' and meta['architecture'] == f'resnet{depth}'
    assert meta['num_classes'] == classes and meta['source']['file'] == 'best_model.pth'
    assert len(meta['source']['sha256']) == 64
    count = len(theirs.features.state_dict())
    assert capsys.readouterr().out.splitlines()[:-1] == [
        f'features: imported as backbone (resnet{depth}), {count} tensors',
        'l1: imported as neck.mlp.0, 2 tensors',
        'l2: imported as neck.mlp.2, 2 tensors',
        'fc: imported as head.classifier, 2 tensors',
        'fc1: ignored, 2 tensors',
        'fc2: ignored, 2 tensors',
    ]


def test_output_loads_into_our_model(tmp_path, released):
    pytest.importorskip('uscl_plugin.models.uscl', exc_type=ImportError)
    from mmengine.registry import DefaultScope
    from mmpretrain.registry import MODELS

    checkpoint = convert(tmp_path, released.state_dict())
    head = dict(type='USCLHead', num_classes=2, in_channels=256, cls_input='projection')
    head['loss_contrastive'] = dict(type='LightlyNTXentLoss')
    neck = dict(type='MoCoV2Neck', in_channels=512, hid_channels=512, out_channels=256)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(type='USCL', backbone=dict(type='ResNet', depth=18), neck=neck, head=head))
    model.load_state_dict(checkpoint['state_dict'], strict=True)


def test_heads_are_optional(tmp_path, released, capsys):
    state = {name: value for name, value in released.state_dict().items() if name.startswith(('features', 'fc.'))}
    checkpoint = convert(tmp_path, {'state_dict': state}, suffix='.safetensors')
    assert len(checkpoint['state_dict']) == 120
    assert {name.split('.')[0] for name in checkpoint['state_dict']} == {'backbone'}
    assert json.loads(checkpoint['meta']['mean']) == [127.5] * 3 and 'num_classes' not in checkpoint['meta']
    out = capsys.readouterr().out
    assert 'l1: absent' in out and 'l2: absent' in out and 'fc: ignored, 2 tensors' in out


def test_classifier_none_leaves_it_out(tmp_path, released, capsys):
    checkpoint = convert(tmp_path, released.state_dict(), '--classifier', 'none')
    assert {name.split('.')[0] for name in checkpoint['state_dict']} == {'backbone', 'neck'}
    assert 'fc: ignored, 2 tensors' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'features.7.1.bn2.running_var': None}, '1 missing (layer4.1.bn2.running_var)'),
        ({'features.8.weight': torch.zeros(1)}, '1 left over (features.8.weight)'),
        ({'features.0.weight': torch.zeros(64, 1, 7, 7)}, 'conv1.weight (64, 1, 7, 7) instead of (64, 3, 7, 7)'),
        ({'l2.weight': None, 'l2.bias': None}, 'only one of l1 and l2'),
        ({'l2.bias': None}, 'l2 should be a linear layer'),
        ({'l1.weight': torch.zeros(512, 100)}, 'l1 has weight (512, 100)'),
        ({'fc.weight': torch.zeros(2, 512)}, 'fc has weight (2, 512)'),
        ({'fc.bias': torch.zeros(3)}, 'fc has weight (2, 256) and bias (3,)'),
    ],
)
def test_other_layouts_are_refused(tmp_path, released, capsys, change, text):
    state = {name: value for name, value in {**released.state_dict(), **change}.items() if value is not None}
    assert not convert(tmp_path, state, status=1).exists()
    error = capsys.readouterr().err
    assert text in error and 'best_model.pth' in error and error.count('\n') == 1


def test_other_checkpoints_are_refused(tmp_path, capsys):
    assert not convert(tmp_path, torchvision.models.resnet18().state_dict(), status=1).exists()
    assert "not the USCL authors' checkpoint" in capsys.readouterr().err
    assert tool.main([str(tmp_path / 'none.pth'), str(tmp_path / 'out.pth')]) == 1
    assert 'none.pth does not exist' in capsys.readouterr().err


def test_planted_code_does_not_run(tmp_path, capsys):
    class Plant:
        def __reduce__(self):
            return open, (str(tmp_path / 'planted'), 'w')

    assert not convert(tmp_path, {'features.0.weight': Plant()}, status=1).exists()
    assert not (tmp_path / 'planted').exists()
    assert 'contains pickled code' in capsys.readouterr().err
