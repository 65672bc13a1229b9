import hashlib
from dataclasses import replace

import pytest
import torch
import torchvision
from torch import nn

from uscl_plugin.evaluation.backbones import (
    check_backbones,
    is_untrained,
    load_backbone,
    split_spec,
    unique_names,
    write_backbone,
)
from uscl_plugin.evaluation.pretrained_backbone import untrained_backbone
from uscl_plugin.weights.backbone_export import export_backbone
from uscl_plugin.weights.checkpoint_error import CheckpointError

CFG = """
model = dict(type='USCL', data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb={to_rgb}))
"""
GIVEN = {'mean': [10.0], 'std': [20.0, 30.0, 40.0], 'channel_order': 'bgr'}


@pytest.fixture(scope='module')
def reference():
    """Torchvision's ResNet-18 with batch norms far from the identity."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    return model


@torch.no_grad()
def last_map(model, images):
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    return model.layer4(model.layer3(model.layer2(model.layer1(x))))


def save(path, model, prefix='', drop=(), **entries):
    state = {prefix + k: v for k, v in model.state_dict().items() if not k.startswith(drop)}
    torch.save({'state_dict': state, **entries} if prefix else state, path)
    return path


@pytest.mark.parametrize('to_rgb', [True, False])
def test_trained_checkpoint_computes_what_torchvision_computes(tmp_path, reference, to_rgb):
    meta = {'cfg': CFG.format(to_rgb=to_rgb)}
    path = save(tmp_path / 'epoch_3.pth', reference, 'backbone.', ('fc.',), meta=meta)
    found = load_backbone(str(path))
    assert (found.name, found.architecture, found.to_rgb) == ('epoch_3', 'resnet18', to_rgb)
    assert (found.mean, found.std) == ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert found.source == {'file': 'epoch_3.pth', 'sha256': hashlib.sha256(path.read_bytes()).hexdigest()}
    assert not any(module.training for module in found.network.modules())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        (features,) = found.network(images)
    torch.testing.assert_close(features, last_map(reference, images))


def test_depth_is_that_of_the_checkpoint(tmp_path):
    path = save(tmp_path / 'r34.pth', torchvision.models.resnet34())
    found = load_backbone(f'mine={path}')
    assert (found.name, found.architecture, len(found.network.layer3)) == ('mine', 'resnet34', 6)


def test_imagenet_is_recognised_by_its_classifier(tmp_path, reference):
    path = save(tmp_path / 'resnet18.pth', reference)
    found = load_backbone(str(path))
    assert (found.mean, found.std, found.to_rgb) == ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], True)
    found = load_backbone(str(path), given={'mean': [5.0], 'std': None})
    assert (found.mean, found.std, found.to_rgb) == ([5.0] * 3, [58.395, 57.12, 57.375], True)
    found = load_backbone(str(path), given=GIVEN)
    assert (found.mean, found.std, found.to_rgb) == ([10.0] * 3, [20.0, 30.0, 40.0], False)


def test_another_classifier_says_nothing_about_the_input(tmp_path):
    path = save(tmp_path / 'other.pth', torchvision.models.resnet18(num_classes=999))
    with pytest.raises(CheckpointError, match=r'other\.pth .*mean, std, channel_order'):
        load_backbone(str(path))
    assert load_backbone(str(path), given=GIVEN).mean == [10.0] * 3


def test_stored_input_outranks_the_guess_and_forbids_contradiction(tmp_path, reference):
    state = {'backbone.' + k: v for k, v in reference.state_dict().items() if not k.startswith('fc.')}
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': state, 'meta': {'mean': [9.0] * 3, 'std': [8.0] * 3, 'channel_order': 'bgr'}}, path)
    assert load_backbone(str(path)).mean == [9.0] * 3
    with pytest.raises(CheckpointError, match=r'a\.pth .*mean \[9\.0'):
        load_backbone(str(path), given={'mean': [10.0]})


def test_untrained_networks_depend_on_the_seed_alone():
    before = torch.get_rng_state()
    first, again, other = (load_backbone('random', seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert (first.name, first.architecture, first.mean, first.std) == ('random', 'resnet18', [127.5] * 3, [63.75] * 3)
    assert first.to_rgb and first.source == {'file': 'random', 'seed': 1}
    for (key, a), b in zip(first.network.state_dict().items(), again.network.state_dict().values(), strict=True):
        assert torch.equal(a, b), key
    assert not torch.equal(first.network.conv1.weight, other.network.conv1.weight)
    assert not any(module.training for module in first.network.modules())
    deeper = load_backbone('fresh=random34', given={'std': [50.0]})
    assert (deeper.name, deeper.architecture, len(deeper.network.layer3), deeper.std) == (
        'fresh',
        'resnet34',
        6,
        [50.0] * 3,
    )


def test_untrained_network_is_that_of_the_report(root):
    from mmengine.config import Config

    cfg = Config.fromfile(root / 'configs' / 'uscl' / 'uscl_resnet18_demo.py')
    ours, theirs = load_backbone('random', 3).network.state_dict(), untrained_backbone(cfg, 3).state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    ('drop', 'text'), [('layer4.1.conv2', r'a\.pth: .*1 missing \(layer4\.1\.conv2'), ('', r'a\.pth: ')]
)
def test_other_networks_are_refused(tmp_path, reference, drop, text):
    path = save(tmp_path / 'a.pth', reference, drop=('fc.', drop))
    with pytest.raises(CheckpointError, match=text):
        load_backbone(str(path), given=GIVEN)


@pytest.fixture
def exported(tmp_path, reference):
    """A bare state dict with torchvision's names, whose input is stated beside it."""
    state = {'backbone.' + k: v for k, v in reference.state_dict().items() if not k.startswith('fc.')}
    torch.save({'state_dict': state, 'meta': {'cfg': CFG.format(to_rgb=False)}}, tmp_path / 'epoch_3.pth')
    export_backbone(tmp_path / 'epoch_3.pth', tmp_path / 'bare.pth', 'torchvision')
    return tmp_path / 'bare.pth'


def test_an_export_states_its_input_in_the_file_beside_it(exported):
    found, source = load_backbone(f'uscl={exported}'), load_backbone(str(exported.with_name('epoch_3.pth')))
    expected = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], False)
    assert (found.mean, found.std, found.to_rgb) == (source.mean, source.std, source.to_rgb) == expected
    for (key, ours), theirs in zip(
        found.network.state_dict().items(), source.network.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), key
    load_backbone(str(exported), given={'mean': [1.0, 2.0, 3.0], 'std': None})
    with pytest.raises(CheckpointError, match=r'bare\.pth .*mean \[1\.0, 2\.0, 3\.0\].*--mean \[10\.0'):
        load_backbone(str(exported), given={'mean': [10.0]})
    export_backbone(exported, exported.with_name('again.pth'), 'mmdet')  # without --mean
    assert load_backbone(str(exported.with_name('again.pth'))).mean == expected[0]


@pytest.mark.parametrize('content', ['{"mean": [1', '\0', '{"weights": {"sha256": "f00d"}}', None])
def test_a_damaged_or_foreign_file_beside_an_export_is_refused(exported, reference, content):
    if content is None:  # other weights under the name of the export
        reference.conv1.weight.data += 1
        torch.save(reference.state_dict(), exported)
        reference.conv1.weight.data -= 1
    else:
        exported.with_name('bare.pth.json').write_text(content)
    with pytest.raises(CheckpointError, match=r'bare\.pth\.json '):
        load_backbone(str(exported), given=GIVEN)


@pytest.mark.parametrize('content', ['[]', '{}', '{"mean": 5}', '{"weights": "a.bin"}'])
def test_another_programs_file_beside_it_says_nothing(exported, content):
    exported.with_name('bare.pth.json').write_text(content)
    assert load_backbone(str(exported), given=GIVEN).mean == [10.0] * 3
    with pytest.raises(CheckpointError, match=r'bare\.pth .*mean, std, channel_order'):
        load_backbone(str(exported))


def test_every_missing_file_is_named_and_every_other_one_is_read(tmp_path, exported):
    specs = [str(exported), 'random', f'{tmp_path}/a.pth', f'ours={tmp_path}/b.pth', f'again={tmp_path}/b.pth']
    with pytest.raises(FileNotFoundError, match=rf'^{tmp_path}/a\.pth, {tmp_path}/b\.pth do not exist'):
        check_backbones(specs)
    (tmp_path / 'a.pth').write_bytes(b'not a checkpoint')
    with pytest.raises(CheckpointError, match=r'a\.pth '):
        check_backbones(specs[:3])
    check_backbones(specs[:2])


def test_missing_file_and_unknown_depth(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        load_backbone(f'ours={tmp_path}/none.pth')
    with pytest.raises(CheckpointError, match=r'random20: .*resnet18, resnet34'):
        load_backbone('random20')


@pytest.mark.parametrize(
    ('specs', 'names'),
    [
        (['random', 'random34', 'x/epoch_1.pth'], ['random', 'random34', 'epoch_1']),
        (['a/e.pth', 'b/e.pth', 'c/f.pth', 'N=b/e.pth'], ['a/e', 'b/e', 'f', 'N']),
        (['a/run/e.pth', 'b/run/e.pth', 'c/e.pth'], ['a/run/e', 'b/run/e', 'c/e']),
        (['e.pth', 'b/e.pth'], ['e', 'b/e']),
        (['e=a/x.pth', 'b/e.pth'], ['e', 'b/e']),
        (['w/lr=0.1/e.pth', 'w/lr=0.2/e.pth'], ['lr=0.1/e', 'lr=0.2/e']),
        (['v1.0.pth', 'v1.1.pth'], ['v1.0', 'v1.1']),
        ([], []),
    ],
)
def test_names(specs, names):
    assert unique_names(specs) == names


@pytest.mark.parametrize('specs', [['random', 'random'], ['a/e.pth', 'a/e.pth'], ['n=a.pth', 'n=b.pth']])
def test_equal_names_are_refused(specs):
    with pytest.raises(ValueError, match=r"'.*': write NAME=PATH"):
        unique_names(specs)


def test_a_file_with_an_equals_sign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'lr=1.pth').touch()
    assert split_spec('lr=1.pth') == (None, 'lr=1.pth')
    assert split_spec('lr=2.pth') == ('lr', '2.pth')


def test_untrained_networks_of_a_name_or_of_a_file(tmp_path):
    """With the file's architecture and input, and other weights."""
    trained = replace(load_backbone('random:mobilenet_v3_small', seed=5), mean=[1.0] * 3, std=[2.0] * 3, to_rgb=False)
    write_backbone(tmp_path / 'a.pth', trained)
    found = load_backbone(f'fresh=random:{tmp_path}/a.pth', seed=1)
    assert (found.architecture, found.mean, found.std, found.to_rgb) == (
        'mobilenet_v3_small',
        [1.0] * 3,
        [2.0] * 3,
        False,
    )
    named = load_backbone('random:mobilenet_v3_small', seed=1)
    for ours, theirs in zip(found.network.parameters(), named.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    again = load_backbone(str(tmp_path / 'a.pth'))
    assert not torch.equal(next(again.network.parameters()), next(found.network.parameters()))
    assert is_untrained(f'random:{tmp_path}/a.pth') and named.identity == 'random mobilenet_v3_small, seed 1'
