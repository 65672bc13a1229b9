"""Weights that want something run: every command that reads some refuses them by name, and nothing runs."""

import json
import pickle
import re
import runpy
import shutil
import sys
import time
from pathlib import Path

import pytest
import torch
from lesion_truth import write_truth
from mmengine.config import Config
from PIL import Image
from safetensors.torch import save_file

from uscl import cli
from uscl.core.digest import file_digest
from uscl_plugin.running.host_tools import host_tool
from uscl_plugin.weights.checkpoint_error import CheckpointError


class Planted:
    """Leaves a folder behind if somebody unpickles it."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


def _code(trace):
    import os

    return Planted(os.mkdir, str(trace))


def _evaluated(trace):
    return Planted(eval, f'__import__("os").mkdir({str(trace)!r})')


def _command(trace):
    return dict(type='os.mkdir', path=str(trace))


def _text(trace):
    """A config whose text has to be run to be read, and parts of it that may be taken as they are."""
    call = f'__import__("os").mkdir({str(trace)!r})'
    loader = f"dict(dataset=dict(type='VideoFrames', pipeline=[dict(type='AntialiasedResize', scale={call})]))"
    return f"custom_imports = dict(imports=['evil'])\nmodel = {call}\ntest_dataloader = {loader}\n"


TENSORS = {'backbone.conv1.weight': torch.zeros(4, 3, 7, 7)}
META = {'mean': [127.5] * 3, 'std': [63.75] * 3, 'channel_order': 'rgb', 'dataset_meta': {'classes': ['a', 'b', 'c']}}


def _classifier(part):
    """The text of a config, as a run stores it, with a part that a registry would import."""
    parts = dict(
        backbone=dict(type='ResNet', depth=18), neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead')
    )
    place, value = part
    model = dict(type='ImageClassifier', **(parts | {place: value}))
    test = dict(dataset=dict(type='VideoFrames', pipeline=[dict(type='AntialiasedResize', scale=32)]))
    return f'model = {model!r}\ntest_dataloader = {test!r}\n'


def save(content, path):
    """As `torch.save` writes it by default."""
    torch.save(content, path)


POISON = {
    'pickled in the weights': lambda t, p: save({'meta': META, 'state_dict': TENSORS | {'x': _code(t)}}, p),
    'pickled in the metadata': lambda t, p: save({'meta': META | {'x': _evaluated(t)}, 'state_dict': TENSORS}, p),
    'pickled as the file': lambda t, p: save(_code(t), p),
    'of the old format': lambda t, p: torch.save({'x': _code(t)}, p, _use_new_zipfile_serialization=False),
    'a bare pickle': lambda t, p: p.write_bytes(pickle.dumps({'state_dict': _evaluated(t)}, protocol=5)),
    'the stated backbone': lambda t, p: save(
        {'meta': META | {'uscl': {'backbone': _command(t)}}, 'state_dict': TENSORS}, p
    ),
    'a part of the stated backbone': lambda t, p: save(
        {
            'meta': META | {'uscl': {'backbone': dict(type='ResNet', depth=18, norm_cfg=_command(t))}},
            'state_dict': TENSORS,
        },
        p,
    ),
    'the config': lambda t, p: save({'meta': META | {'cfg': _text(t)}, 'state_dict': TENSORS}, p),
    'a backbone in the config': lambda t, p: save(
        {'meta': META | {'cfg': _classifier(('backbone', _command(t)))}, 'state_dict': TENSORS}, p
    ),
}
# What each command needs besides; the poisoned file is FILE.
COMMANDS = {
    'export': 'export FILE OUT.pth --to mmpretrain',
    'export --to onnx': 'export FILE OUT.onnx --to onnx',
    'export --to hub': 'export FILE OUT --to hub',
    'import backbone': 'import backbone FILE OUT.pth',
    'import official': 'import official FILE OUT.pth',
    'predict': 'predict FILE CLIP',
    'cam': 'cam FILE CLIP --out OUT.png',
    'evaluate': 'evaluate b=FILE --data DATA --out OUT --folds 3',
    'finetune': 'finetune DATA --from FILE --out OUT --size 32',
    'compare': 'compare --pretrain-data OTHER --eval-data DATA --methods b=FILE --out OUT --folds 3',
    'compare init': 'compare --pretrain-data OTHER --eval-data DATA --methods b=uscl:init=FILE --out OUT --folds 3',
    'report': 'report_pretraining uscl/uscl_resnet18_demo.py FILE --out OUT.html --data-root DATA',
    'pretrain --init': 'pretrain DATA --init FILE --out OUT --size 32 --epochs 1 --workers 0',
}


@pytest.fixture
def trace(tmp_path, monkeypatch):
    """Where a plant would leave a folder; the test fails if one does, also by importing the module `evil`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    trace = tmp_path / 'ran'
    (tmp_path / 'evil.py').write_text(f'import os\nos.mkdir({str(trace)!r})\n')
    yield trace
    assert not trace.exists()


def _fill(command, **paths):
    """The words of a command, with paths for names in capitals."""
    words = command.split()
    for name, path in paths.items():
        words = [re.sub(rf'\b{name}\b', str(path), word) for word in words]
    return words


@pytest.mark.parametrize('poison', POISON)
@pytest.mark.parametrize('command', COMMANDS)
def test_a_command_names_the_file_and_runs_nothing(command, poison, trace, patients, clusters, tmp_path, capsys):
    file, clip = tmp_path / 'poisoned.pth', tmp_path / 'clip.png'
    POISON[poison](trace, file)
    Image.new('L', (64, 48), 90).save(clip)
    argv = _fill(COMMANDS[command], FILE=file, CLIP=clip, DATA=patients, OTHER=clusters, OUT=tmp_path / 'out')
    assert cli.main(argv) not in (0, None)
    assert 'poisoned.pth' in capsys.readouterr().err


@pytest.mark.parametrize('command', ['predict', 'evaluate', 'export', 'cam', 'finetune', 'pretrain --init'])
@pytest.mark.parametrize('form', ['safetensors', 'json'])
def test_so_does_what_stands_in_a_header_or_beside_the_file(command, form, trace, patients, tmp_path, capsys):
    facts = META | {'uscl': {'version': 1, 'backbone': _command(trace)}}
    if form == 'safetensors':
        file = tmp_path / 'poisoned.safetensors'
        save_file(TENSORS, file, {key: json.dumps(value) for key, value in facts.items()})
    else:
        file = tmp_path / 'poisoned.pth'
        save(TENSORS, file)
        weights = {'file': file.name, 'sha256': file_digest(file)}
        (tmp_path / 'poisoned.pth.json').write_text(json.dumps(facts | {'weights': weights}))
    clip = tmp_path / 'clip.png'
    Image.new('L', (64, 48), 90).save(clip)
    argv = _fill(COMMANDS[command], FILE=file, CLIP=clip, DATA=patients, OUT=tmp_path / 'out')
    assert cli.main(argv) not in (0, None)
    assert file.name in capsys.readouterr().err


@pytest.mark.parametrize('poison', ['pickled in the weights', 'of the old format', 'a bare pickle'])
@pytest.mark.parametrize('tool', ['train', 'test'])
def test_nor_does_anything_run_in_mmpretrains_own_tools(
    tool, poison, trace, run_config, fold_cfg, tmp_path, monkeypatch
):
    file = tmp_path / 'poisoned.pth'
    POISON[poison](trace, file)
    cfg = run_config(1) if tool == 'train' else fold_cfg('linear')
    if tool == 'train':
        cfg.load_from = str(file)
    cfg.experiment_name = f'{tool}-{time.monotonic_ns()}'  # else MMEngine takes that of a test in the same second
    cfg.dump(tmp_path / 'config.py')
    path = str(host_tool('mmpretrain', tool))
    rest = [] if tool == 'train' else [str(file)]
    monkeypatch.setattr(sys, 'argv', [path, str(tmp_path / 'config.py'), *rest, '--work-dir', str(tmp_path / 'host')])
    with pytest.raises(CheckpointError, match=r'poisoned\.pth'):
        runpy.run_path(path, run_name='__main__')


@pytest.mark.parametrize('poison', ['pickled in the weights', 'of the old format', 'a bare pickle'])
@pytest.mark.parametrize('tool', ['train', 'test'])
def test_nor_in_mmdetections(tool, poison, trace, root, tmp_path, monkeypatch):
    import uscl_plugin.compat.mmcv_ops  # noqa: F401

    file, lesions = tmp_path / 'poisoned.pth', tmp_path / 'lesions'
    POISON[poison](trace, file)
    write_truth(lesions)
    shutil.copy(lesions / 'annotations' / 'val.json', lesions / 'annotations' / 'train.json')
    cfg = Config.fromfile(root / 'configs' / 'udiat_b' / 'mask-rcnn_r18_fpn_scratch_1xb2-30e_udiat-b.py')
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.data_root = str(lesions)
    cfg.experiment_name = f'{tool}-{time.monotonic_ns()}'  # else MMEngine takes that of a test in the same second
    cfg.dump(tmp_path / 'config.py')
    path = str(host_tool('mmdet', tool))
    rest = ['--cfg-options', f'load_from={file}'] if tool == 'train' else [str(file)]
    monkeypatch.setattr(sys, 'argv', [path, str(tmp_path / 'config.py'), *rest, '--work-dir', str(tmp_path / 'host')])
    with pytest.raises(CheckpointError, match=r'poisoned\.pth'):
        runpy.run_path(path, run_name='__main__')


def test_the_plants_work(tmp_path):
    for number, make in enumerate((_code, _evaluated)):
        pickle.loads(pickle.dumps(make(tmp_path / str(number))))
        assert (tmp_path / str(number)).is_dir()
    exec(_text(tmp_path / 'text').partition('\n')[2].partition('\n')[0])
    assert (tmp_path / 'text').is_dir()
    assert Path(tmp_path / 'text').exists()
