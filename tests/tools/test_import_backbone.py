"""The tool that imports a backbone: what it says, what it writes, what it refuses."""

import pytest
import torch
from tool_module import load_tool

from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.resnet_state import resnet_shapes

tool = load_tool('tools/model_converters/import_backbone.py')


def zeros(prefix, value=0.0):
    return {prefix + name: torch.full(shape, value) for name, shape in resnet_shapes(18).items()}


def imported(tmp_path, checkpoint, *options, status=0):
    torch.save(checkpoint, tmp_path / 'theirs.pth')
    assert tool.main([str(tmp_path / 'theirs.pth'), str(tmp_path / 'out.pth'), *options]) == status
    return load_plain_checkpoint(tmp_path / 'out.pth') if status == 0 else None


def test_tool_says_what_came_and_what_was_left(tmp_path, capsys):
    state = zeros('module.encoder_q.') | zeros('module.encoder_k.', value=1.0) | {'module.queue': torch.zeros(2)}
    checkpoint = imported(tmp_path, {'state_dict': state, 'optimizer': {'state': {0: {'m': torch.zeros(1)}}}})
    assert set(checkpoint['state_dict']) == {f'backbone.{name}' for name in resnet_shapes(18)}
    assert bool((checkpoint['state_dict']['backbone.conv1.weight'] == 0).all())
    assert checkpoint['meta']['input'] == 'unknown input normalisation' and 'mean' not in checkpoint['meta']
    assert capsys.readouterr().out.splitlines() == [
        f'{tmp_path / "out.pth"}: 120 backbone tensors (resnet18, unknown) named "module.encoder_q.…"',
        'input: unknown normalisation, tools will ask for --mean --std --channel-order (pass them here to keep them)',
        'left behind: module.encoder_k 120, module 1, optimizer 1',
        'of several backbones "module.encoder_q." was used and "module.encoder_k." ignored: --prefix selects another',
    ]


def test_tool_keeps_what_it_is_told(tmp_path):
    told = ['--mean', '127.5', '--std', '63.75', '--channel-order', 'rgb', '--method', 'MoCo v2', '--data', 'US-4']
    state = zeros('teacher.') | zeros('student.', value=1.0)
    checkpoint = imported(tmp_path, state, *told, '--prefix', 'teacher', '--license', 'cc-by-4.0')
    meta = checkpoint['meta']
    assert bool((checkpoint['state_dict']['backbone.conv1.weight'] == 0).all())
    assert (meta['mean'], meta['std'], meta['channel_order']) == ([127.5] * 3, [63.75] * 3, 'rgb')
    assert (meta['method'], meta['data'], meta['license']) == ('MoCo v2', 'US-4', 'cc-by-4.0') and 'input' not in meta


@pytest.mark.parametrize(
    ('state', 'options', 'text'),
    [
        (zeros('a.'), ['--mean', '127.5'], 'std, channel_order'),
        (zeros('a.'), ['--prefix', 'b'], 'no tensor is named "b.…"'),
        (zeros('a.') | zeros('b.', value=1.0), [], 'There are 2 backbones'),
        ({'backbone.cls_token': torch.zeros(1)}, [], 'not a torchvision ResNet'),
        ({'head.weight': torch.zeros(1)}, [], 'There is no backbone'),
    ],
)
def test_tool_refuses(tmp_path, capsys, state, options, text):
    imported(tmp_path, state, *options, status=1)
    error = capsys.readouterr().err
    assert text in error and 'theirs.pth' in error and error.count('\n') == 1
    assert not (tmp_path / 'out.pth').exists()
