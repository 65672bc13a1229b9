"""The check of a GPU, on the CPU: it passes what is right, fails what is wrong, and keeps to its time."""

import json
from dataclasses import replace

import pytest
import torch
from mmengine.registry import init_default_scope
from tool_module import load_tool

import uscl_plugin  # noqa: F401  registers what configs name
from instruments import gpu_correctness, gpu_speed
from instruments.gpu_correctness import CheckSettings, run_check
from uscl.data.synthetic_videos import write_synthetic_videos
from uscl_plugin.hooks import FreezeHook
from uscl_plugin.models.losses.ntxent import LightlyNTXentLoss

pytestmark = pytest.mark.filterwarnings('ignore')
CPU = torch.device('cpu')


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    return load_tool('tools/benchmarks/gpu_check.py')


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    return write_synthetic_videos(tmp_path_factory.mktemp('clips'), videos=4, frames=3, size=40)


@pytest.fixture
def settings(clips, tmp_path, tool):
    init_default_scope('mmpretrain')
    return CheckSettings(data=clips, folder=tmp_path, device=CPU, size=32, batch_size=4, options=tool.SMALL.options)


def other_numbers(frames, params, device):
    return [view.flip(-1) if device == CPU else view for view in gpu_make_views(frames, params, device)]


gpu_make_views = gpu_correctness.make_views
WRONG = {
    'pairs: device = CPU': ('make_views', other_numbers),
    'pairs: device = workers': ('make_views', other_numbers),
    'NT-Xent under autocast': ('LightlyNTXentLoss', lambda temperature: LightlyNTXentLoss(1.01 * temperature)),
}


@pytest.mark.parametrize('name', WRONG)
def test_a_check_passes_what_is_right_and_fails_what_is_wrong(name, settings, monkeypatch):
    passed, number = run_check(name, settings)
    assert passed, number
    monkeypatch.setattr(gpu_correctness, *WRONG[name])
    passed, number = run_check(name, settings)
    assert not passed and any(digit in number for digit in '123456789')


def test_layers_that_are_not_frozen_are_found(settings, monkeypatch):
    monkeypatch.setattr(FreezeHook, 'before_train', lambda self, runner: None)
    passed, number = run_check('frozen layers', settings)
    assert not passed and 'frozen tensors kept' in number


def test_a_lost_optimiser_is_found(settings, monkeypatch):
    train = gpu_correctness._train

    def forget(settings, folder, epochs, resume=False, **changes):
        if resume:  # the weights go on, the rest starts again
            torch.save({'state_dict': gpu_correctness._weights(folder / 'epoch_1.pth')}, settings.folder / 'first.pth')
        train(settings, folder, 1 if resume else epochs)
        if resume:
            (folder / 'epoch_1.pth').rename(folder / 'epoch_2.pth')

    monkeypatch.setattr(gpu_correctness, '_train', forget)
    passed, number = run_check('resume', settings)
    assert not passed and 'of the way' in number


def test_an_exception_is_a_failure_that_names_itself(settings, monkeypatch):
    def break_down(settings):
        raise RuntimeError('no kernel image\nand more')

    monkeypatch.setitem(gpu_correctness.CHECKS, 'broken', break_down)
    assert run_check('broken', settings) == (False, 'RuntimeError: no kernel image')


def test_too_little_memory_is_a_row(settings, monkeypatch):
    def too_large(*args):
        raise torch.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr(gpu_speed, 'time_network', too_large)
    row = gpu_speed.speed_row(settings, 'fp32', 4, 0, 0.01)
    assert row == {'precision': 'fp32', 'batch_size': 4, 'failed': 'out of memory'}


def test_small_on_the_cpu(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, 'CHECKS', ['NT-Xent under autocast', 'unknown'])
    monkeypatch.setattr(tool, 'SMALL', replace(tool.SMALL, videos=4, batch_sizes=(4,), epochs=2))
    assert tool.main(['--device', 'cpu', '--small', '--workers', '0', '--out', str(tmp_path)]) == 1
    found = json.loads((tmp_path / 'gpu_check.json').read_text())
    assert [(check['name'], check['passed']) for check in found['checks']] == [
        ('NT-Xent under autocast', True),
        ('unknown', False),
    ]
    (run,), (row,) = found['run'], found['speed']
    assert run['hours'] * 3600 == pytest.approx(run['start_seconds'] + 299 * run['epoch_seconds'])
    assert (run['epochs'], run['videos'], row['precision'], row['batch_size']) == (2, 4, 'fp32', 4)
    assert 0 < row['busy'] < 1 and min(row['network'], row['end_to_end'], row['loader_preprocessor']) > 0
    assert '| unknown | NO |' in (tmp_path / 'gpu_check.md').read_text()


def test_what_the_time_does_not_suffice_for_is_not_reached(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, 'FULL', tool.SMALL)
    assert tool.main(['--device', 'cpu', '--minutes', '0.01', '--out', str(tmp_path)]) == 0
    found = json.loads((tmp_path / 'gpu_check.json').read_text())
    assert len(found['not_reached']) == len(gpu_correctness.CHECKS) + 1 + 2 and not found['checks']


def test_without_a_gpu_it_says_so(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert tool.main(['--out', str(tmp_path)]) == 1
    assert '--device cpu' in capsys.readouterr().err
