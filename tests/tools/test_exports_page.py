"""Every code block of docs/exports.md runs, in order, on a small checkpoint, and loads what was exported."""

import re
import shlex
from pathlib import Path

import pytest
import torch
import torchvision
from tool_module import load_tool
from torch import nn

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r'```(\w+)\n(.*?)```', (ROOT / 'docs' / 'exports.md').read_text(encoding='utf-8'), re.DOTALL)


def run_command(command):
    python, path, *arguments = shlex.split(command)
    assert python == 'python'
    assert load_tool(path).main(arguments) == 0


def run_code(code):
    namespace = {}
    exec(compile(code, 'docs/exports.md', 'exec'), namespace)
    return namespace


@torch.no_grad()
def test_every_block_runs_and_gives_the_same_features(tmp_path, monkeypatch):
    pytest.importorskip('onnxruntime')
    pytest.importorskip('timm')
    from mmpretrain.models import ResNet

    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    names = {name: value for name, value in network.state_dict().items() if not name.startswith('fc.')}
    cfg = "model = dict(type='USCL', data_preprocessor=dict(mean=127.5, std=63.75, to_rgb=True))"
    (tmp_path / 'work_dirs' / 'mine').mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    torch.save(
        {'meta': {'cfg': cfg}, 'state_dict': {f'backbone.{name}': value for name, value in names.items()}},
        'work_dirs/mine/epoch_200.pth',
    )
    torch.save({'state_dict': {f'module.encoder_q.{name}': value for name, value in names.items()}}, 'moco.pth')

    network.fc = nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    compared = []
    for language, code in BLOCKS:
        if language == 'bash':
            for command in code.strip().splitlines():
                run_command(command)
            continue
        found = run_code(code)
        if 'features' in found:
            images_0_255 = torch.from_numpy(found['images'])
            got, expected = torch.from_numpy(found['features']), network((images_0_255 - 127.5) / 63.75)
        elif 'net' in found:
            net = found['net'].eval()
            net.fc = nn.Identity()
            got, expected = net(images), network(images)
        else:
            backbone = dict(found['model']['backbone'])
            assert backbone.pop('type') == 'ResNet'
            strides = {key: backbone.pop(key) for key in ('strides', 'dilations') if key in backbone}
            assert strides in ({}, {'strides': (1, 2, 1, 1), 'dilations': (1, 1, 2, 4)})  # no part of any tensor
            net = ResNet(**backbone)
            net.init_weights()
            net.eval()
            got, expected = net(images)[0].mean((2, 3)), network(images)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
        compared.append(code)
    assert len(compared) == len(BLOCKS) - 2 == 7
    imported = torch.load('imported.pth', weights_only=True)
    assert imported['meta']['method'] == 'MoCo v2' and imported['meta']['std'] == [63.75] * 3
    assert all(torch.equal(imported['state_dict'][f'backbone.{name}'], value) for name, value in names.items())
