"""The tool that pretrains with several methods and makes one table."""

import importlib.util
import json

import pytest

TINY = ['--epochs', '1', '--size', '32', '--seeds', '1', '--folds', '3', '--resamples', '50', '--workers', '0']


@pytest.fixture(scope='module')
def compare(root):
    spec = importlib.util.spec_from_file_location('compare', root / 'tools' / 'benchmarks' / 'compare.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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
        (['--methods', 'usl'], 'usl is no method'),
        (['--methods', 'imagenet'], 'needs --imagenet-weights PATH'),
        (['--eval-data', 'gone'], 'gone'),
        (['--pretrain-data', 'gone', '--methods', 'uscl'], 'gone'),
        (['--folds', '9'], 'folds'),
        (['--detection-data', 'nowhere'], 'nowhere/annotations/train.json does not exist'),
    ],
)
def test_wrong_input_is_one_line(compare, clusters, patients, tmp_path, capsys, arguments, message):
    data = ['--pretrain-data', clusters, '--eval-data', patients, '--methods', 'random', '--out', tmp_path, *TINY]
    assert compare(*data, *arguments) == 1
    shown = capsys.readouterr()
    assert message in shown.err and 'Traceback' not in shown.err


def test_patients_that_were_trained_on_are_not_tested_on(compare, patients, tmp_path, capsys):
    assert compare('--pretrain-data', patients, '--eval-data', patients, '--out', tmp_path, *TINY) == 1
    assert 'tested on patients that they have seen' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('arguments', [['--label-fraction', '10'], ['--budget', '5', '--detection-data', 'x']])
def test_arguments_that_make_no_sense(compare, clusters, tmp_path, arguments):
    data = ['--pretrain-data', clusters, '--eval-data', clusters, '--out', tmp_path]
    with pytest.raises(SystemExit, match='2'):
        compare(*data, *arguments)
    assert not list(tmp_path.iterdir())
