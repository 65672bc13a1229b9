"""The tool that pretrains with several methods and makes one table."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from tool_module import load_tool

from uscl.convert.lesions.lesion_conversion import convert_lesions
from uscl.convert.lesions.lesion_settings import LesionSettings
from uscl.core.folder_lock import LOCK, lock_folder
from uscl_plugin.comparison import comparison as comparison_module
from uscl_plugin.comparison.training_run import FinishedTraining, TrainingError
from uscl_plugin.evaluation.backbones import load_backbone
from uscl_plugin.weights.checkpoint_files import write_checkpoint
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.resnet_state import backbone_state

pytestmark = pytest.mark.usefixtures('undrawn')
TINY = ['--epochs', '1', '--size', '32', '--seeds', '1', '--folds', '3', '--resamples', '50', '--workers', '0']


@pytest.fixture(scope='module')
def compare(root):
    module = load_tool('tools/compare.py')
    return lambda *args: module.main([str(arg) for arg in args])


def test_a_method_that_fails_is_named_and_the_others_finish(compare, root, clusters, patients, tmp_path, capsys):
    out = tmp_path / 'out'
    data = ['--pretrain-data', clusters, '--eval-data', patients, '--out', out, *TINY]
    config = tmp_path / 'by_iterations.py'
    base = root / 'configs' / 'uscl' / 'uscl_resnet18_demo.py'
    config.write_text(f"_base_ = '{base}'\ntrain_cfg = dict(_delete_=True, by_epoch=False, max_iters=10)\n")
    broken = f'broken={config}'
    assert compare('--methods', 'random', broken, 'uscl', *data) == 1
    shown = capsys.readouterr()
    assert 'broken (seed 0) failed' in shown.err
    rows = {row['method']: row for row in json.loads((out / 'results.json').read_text())['rows']}
    assert set(rows) == {'random', 'broken', 'uscl'}
    wanted = {'method', 'seed', 'status', 'accuracy', 'balanced_accuracy', 'macro_f1', 'seconds'}
    assert all(wanted <= set(row) for row in rows.values())
    assert rows['broken']['status'].startswith('failed') and 'by_iterations.py should train' in rows['broken']['status']
    assert rows['broken']['accuracy'] is None
    for name in ('random', 'uscl'):
        assert rows[name]['status'] == 'finished' and 0 <= rows[name]['accuracy'] <= 1
    assert (rows['uscl']['steps'], rows['uscl']['views'], rows['uscl']['epochs']) == (1, 14, 1)
    assert rows['random']['steps'] is None
    table = (out / 'table.md').read_text()
    assert '| broken | 0 | – | – | – |' in table and '### uscl minus the others' in table
    assert (out / 'table.png').stat().st_size > 10_000

    # Once more, with another method in place of the one that failed: nothing is run again.
    times = {path: path.stat().st_mtime_ns for path in out.glob('[pe]*/**/*.pth')}
    checkpoints = [path for path in times if path.name == 'epoch_1.pth']
    assert len(checkpoints) == 1
    assert compare('--methods', 'uscl', 'random', f'again={checkpoints[0]}', *data) == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
    again = {row['method']: row for row in json.loads((out / 'results.json').read_text())['rows']}
    assert again['uscl']['accuracy'] == rows['uscl']['accuracy'] == again['again']['accuracy']
    assert again['uscl']['seconds'] == pytest.approx(rows['uscl']['seconds'], rel=0.5)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--methods', 'usl'], 'usl is not a method'),
        (['--methods', 'imagenet'], 'needs --imagenet-weights PATH'),
        (['--eval-data', 'gone'], 'gone'),
        (['--pretrain-data', 'gone', '--methods', 'uscl'], 'gone'),
        (['--folds', '9'], 'folds'),
        (['--detection-data', 'nowhere'], 'nowhere/annotations/train.json does not exist'),
        (['--detection-data', 'LESIONS', '--detection-config', 'gone.py'], 'gone.py does not exist'),
    ],
)
def test_wrong_input_is_one_line(compare, clusters, patients, lesions, tmp_path, capsys, arguments, message):
    arguments = [str(lesions) if argument == 'LESIONS' else argument for argument in arguments]
    data = ['--pretrain-data', clusters, '--eval-data', patients, '--methods', 'random', '--out', tmp_path, *TINY]
    assert compare(*data, *arguments) == 1
    shown = capsys.readouterr()
    assert message in shown.err and 'Traceback' not in shown.err


def test_a_folder_that_is_taken_is_left_alone(compare, clusters, patients, tmp_path, capsys):
    data = ['--pretrain-data', clusters, '--eval-data', patients, '--methods', 'random', '--out', tmp_path, *TINY]
    with lock_folder(tmp_path, 'comparing'):
        assert compare(*data) == 1
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    error = capsys.readouterr().err
    assert error.startswith(f'error: {tmp_path} is in use by process {os.getpid()} on ') and error.count('\n') == 1


def test_patients_that_were_trained_on_are_not_tested_on(compare, patients, tmp_path, capsys):
    assert compare('--pretrain-data', patients, '--eval-data', patients, '--out', tmp_path, *TINY) == 1
    error = capsys.readouterr().err
    assert f'pretrained on {patients} was trained on 18 clips of 9 patients' in error and "'a/v0'" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'arguments', [['--label-fraction', '10'], ['--budget', '5', '--detection-data', 'x'], ['--finetune-epochs', '2']]
)
def test_arguments_that_make_no_sense(compare, clusters, tmp_path, capsys, arguments):
    data = ['--pretrain-data', clusters, '--eval-data', clusters, '--out', tmp_path]
    with pytest.raises(SystemExit, match='2'):
        compare(*data, *arguments)
    assert arguments[0] in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope='module')
def lesions(tmp_path_factory):
    """Ten images with dark ellipses, two of them without, as lesions_to_coco.py writes them."""
    folder = tmp_path_factory.mktemp('lesions')
    for kind in ('images', 'masks'):
        (folder / 'src' / kind).mkdir(parents=True)
    for k in range(10):
        rng = np.random.default_rng(k)
        pixels, mask = rng.integers(60, 140, (64, 80), dtype=np.uint8), np.zeros((64, 80), np.uint8)
        if k % 5:
            cv2.ellipse(mask, (40, 32), (10 + k, 8 + k), 0, 0, 360, 255, -1)
            pixels[mask > 0] //= 3
        cv2.imwrite(str(folder / 'src' / 'images' / f's{k}.png'), pixels)
        cv2.imwrite(str(folder / 'src' / 'masks' / f's{k}.png'), mask)
    convert_lesions(folder / 'src', folder / 'coco', LesionSettings('pairs', 1, 20, 4, None, 0))
    return folder / 'coco'


def detection(lesions, out, clusters, patients):
    data = ['--pretrain-data', clusters, '--eval-data', patients, '--detection-data', lesions, '--out', out, *TINY]
    return [*data, '--detection-epochs', '1', '--detection-size', '64']


def test_a_detector_that_fails_is_named_and_the_rest_stays(
    compare, clusters, patients, lesions, tmp_path, capsys, monkeypatch
):
    pytest.importorskip('mmdet')
    broken = ['other']

    def run_detector(spec, seed, folder, *_):
        if folder.parent.name in broken:
            raise TrainingError('out of memory (exit code 1, train.log)')
        return FinishedTraining(folder / 'epoch_1.pth', 3, 7.0, was_finished=False), {'box AP': 0.25, 'mask AP': 0.125}

    monkeypatch.setattr(comparison_module, 'run_detector', run_detector)
    out = tmp_path / 'out'
    arguments = ['--methods', 'random', 'other=random', *detection(lesions, out, clusters, patients)]
    assert compare(*arguments) == 1
    assert 'error: other (seed 0) failed' in capsys.readouterr().err
    content = json.loads((out / 'results.json').read_text())
    rows = {row['method']: row for row in content['rows']}
    assert rows['other']['status'] == 'failed: detector: out of memory (exit code 1, train.log)'
    assert (rows['random']['box AP'], rows['random']['mask AP']) == (0.25, 0.125)
    assert rows['other'].keys() == rows['random'].keys() and rows['other']['box AP'] is None
    assert rows['other']['accuracy'] == rows['random']['accuracy'] is not None
    assert f'on the 4 images (3 lesions) of {lesions}/annotations/val.json' in content['facts']['detection']
    table = (out / 'table.md').read_text().split('### Every run')[0]
    assert content['facts']['detection'] in table
    assert [line.split(' | ')[5:7] for line in table.splitlines() if line[:8] in ('| random', '| other ')][:2] == [
        ['25.0 %', '12.5 %'],
        ['–', '–'],
    ]
    broken.clear()
    assert compare(*arguments) == 0
    assert all(row['box AP'] == 0.25 for row in json.loads((out / 'results.json').read_text())['rows'])


@pytest.mark.slow  # three trainings in processes of their own
def test_detectors_of_given_weights_stopped_and_run_again(root, clusters, patients, lesions, tmp_path):
    pytest.importorskip('mmdet')
    out = tmp_path / 'out'
    weights = tmp_path / 'weights.pth'
    state = {f'backbone.{key}': value for key, value in load_backbone('random', seed=5).network.state_dict().items()}
    write_checkpoint(weights, state, {'mean': [100.0] * 3, 'std': [50.0] * 3, 'channel_order': 'rgb'})
    arguments = ['--methods', 'random', f'ours={weights}', *detection(lesions, out, clusters, patients)]
    command = [sys.executable, str(root / 'tools' / 'compare.py'), *map(str, arguments)]
    second = out / 'detection' / 'ours' / 'seed0'
    environment = os.environ | {'PYTHONPATH': f'{root}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 500
    while not (second / 'started.json').is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert 'run the same command again' in shown
    first = json.loads((out / 'results.json').read_text())['rows']
    assert [row['method'] for row in first] == ['random'] and first[0]['status'] == 'finished'
    finished = out / 'detection' / 'random' / 'seed0' / 'finished.json'
    before = finished.stat().st_mtime_ns

    subprocess.run(command, env=environment, check=True)
    assert finished.stat().st_mtime_ns == before
    rows = {row['method']: row for row in json.loads((out / 'results.json').read_text())['rows']}
    for name in ('random', 'ours'):
        assert all(0 <= rows[name][measure] <= 1 for measure in ('box AP', 'box AP50', 'mask AP', 'mask AP50'))
        log = (out / 'detection' / name / 'seed0' / 'train.log').read_text()
        assert 'backbone.pth: all 120 tensors of the backbone were loaded' in log
    assert rows['random']['box AP'] == first[0]['box AP']
    arrived = backbone_state(load_plain_checkpoint(second / 'backbone.pth'))
    assert all(torch.equal(arrived[key.removeprefix('backbone.')], value) for key, value in state.items())
    assert [path.name for path in out.glob('detection/**/*.pth')] == ['backbone.pth'] * 2
