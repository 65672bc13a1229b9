import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from tool_module import load_tool

from uscl.convert.videos.store_settings import StoreSettings
from uscl.core.folder_lock import LOCK, lock_folder
from uscl.data.annotations import read_annotations, write_annotations
from uscl.data.folder_digest import data_digest
from uscl.data.folder_writer import write_data_folder
from uscl.data.folds import read_folds
from uscl.data.video_folder import VideoFolder
from uscl.stats.predictions import Predictions
from uscl_plugin.evaluation.classifier import load_classifier
from uscl_plugin.running.host_tools import run_host_tool
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

pytestmark = pytest.mark.usefixtures('undrawn')
TINY = ['--size', '32', '--resamples', '50', '--folds', '3', '--val-fraction', '0.4']
WITHOUT_WORKERS = ['--cfg-options', 'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0']


@pytest.fixture(scope='module')
def evaluate(root):
    module = load_tool('tools/evaluate.py')
    return lambda *args: module.main([str(arg) for arg in args])


@pytest.fixture(scope='module')
def finished(evaluate, patients, tmp_path_factory):
    """Results of an untrained network, complete; for reading alone."""
    out = tmp_path_factory.mktemp('finished') / 'out'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')  # the tool sets it for the whole process
        assert evaluate('random', '--data', patients, '--out', out, *TINY) == 0
    return out


@pytest.fixture
def out(finished, tmp_path):
    """A copy of those results, as good as a first run of the test's own."""
    return shutil.copytree(finished, tmp_path / 'out')


@pytest.mark.parametrize('protocol', ['linear', 'finetune3'])
def test_models_know_how_their_data_were_converted(evaluate, patients, tmp_path, protocol):
    data, out = shutil.copytree(patients, tmp_path / 'data'), tmp_path / 'out'
    annotations = read_annotations(data / 'annotations.json')
    entries = [entry | {'sha256': f'{k:064x}'} for k, entry in enumerate(annotations['data_list'])]
    settings = {'fps': 5.0, 'size': 32, 'color': 'gray', 'mask_tolerance': None, 'min_frames': 2}
    write_annotations(data / 'annotations.json', entries, annotations['metainfo']['classes'], settings=settings)
    more = ['--epochs', '1', *WITHOUT_WORKERS] if protocol == 'finetune3' else []
    more += ['--folds', '2']
    assert evaluate('random', '--data', data, '--out', out, '--protocol', protocol, *TINY, *more) == 0
    model = out / 'cells/random/seed0/fold0/model.pth'
    facts = load_plain_checkpoint(model)['meta']['uscl']
    assert load_classifier(model).settings == StoreSettings(**settings) and facts['settings'] == settings
    assert facts['data_digest'] == data_digest(data)
    side = read_folds(out / 'folds' / 'seed0.json').sides(0)
    # A linear probe is fitted to the inner validation part, too, which a fine-tuned network has not seen.
    known, fitted = load_classifier(model).training, ('train', 'val') if protocol == 'linear' else ('train',)
    trained = {entry['sha256'] for entry in entries if side[entry['video_id']] in fitted}
    assert 0 < len(trained) < len(entries) and set(facts['seen']['sha256s']) == trained
    assert len(facts['seen']['signatures']) == len(trained) and facts['seen']['complete']
    sides = [side[entry['video_id']] for entry in entries]
    assert len(known.features) == sum(each in fitted for each in sides)
    assert known.held_out == len(sides) - len(known.features)
    assert 0 <= known.quantiles[0] <= known.quantiles[100] <= known.limit


@pytest.mark.parametrize('protocol', ['linear', 'knn', 'finetune3', pytest.param('finetune', marks=pytest.mark.slow)])
def test_every_protocol_gives_numbers_tables_and_a_page(evaluate, patients, tmp_path, capsys, protocol):
    out = tmp_path / 'out'
    more = ['--epochs', '1', *WITHOUT_WORKERS] if protocol.startswith('finetune') else []
    assert evaluate('random', '--data', patients, '--out', out, '--protocol', protocol, *TINY, *more) == 0
    content = json.loads((out / 'metrics.json').read_text())
    assert content['facts']['protocol'] == protocol
    fixed = 'last' if more else 'fixed'
    results = content['summary']['levels']['video']['results']['random']
    assert set(results) == {'best-on-test', fixed, 'inner-val'}
    # The figures are those of the predictions of all folds together, every video once.
    parts = [Predictions.load(out / f'cells/random/seed0/fold{k}/inner-val.npz').by_video() for k in range(3)]
    right = np.concatenate([part.probabilities.argmax(axis=1) == part.labels for part in parts])
    assert len(right) == 18
    assert results['inner-val']['metrics']['accuracy']['mean'] == pytest.approx(right.mean())
    assert 'random' in (out / 'table.md').read_text()
    page = (out / 'report.html').read_text()
    assert '<html' in page and 'layer3' in page and 'Effective rank' in page and '<img' in page
    health = content['backbones']['random']  # on all 63 frames, whatever the protocol
    assert list(health['branches']) == ['layer1', 'layer2', 'layer3', 'layer4'] and health['images'] == 63
    assert 0.15 < min(health['branches'].values()) < max(health['branches'].values()) < 0.7
    assert 1.3 < health['effective_rank'] < 63 and f'{health["effective_rank"]:.1f} of at most 63' in page
    assert not content['facts']['warnings']
    assert (out / 'cells/random/seed0/fold0/model.pth').is_file() == (protocol != 'knn')
    folds = read_folds(out / 'folds' / 'seed0.json')
    for number, fold in enumerate(folds.folds):
        assert set(parts[number].videos) == set(fold['test'])
    assert 'wrote' in capsys.readouterr().out


def test_few_patients_of_each_class_are_trained_on_and_all_are_tested(evaluate, patients, tmp_path):
    out = tmp_path / 'out'
    assert evaluate('random', '--data', patients, '--out', out, *TINY, '--patients-per-class', '1') == 0
    folds = read_folds(out / 'folds' / 'seed0.json').folds
    entries = read_annotations(patients / 'annotations.json')['data_list']
    assert sorted(name for fold in folds for name in fold['test']) == sorted(entry['video_id'] for entry in entries)
    of = {entry['video_id']: (entry['label'], entry['patient_id']) for entry in entries}
    classes = {entry['label'] for entry in entries}
    for fold in folds:
        assert sorted(label for label, _ in {of[name] for name in fold['train']}) == sorted(classes)
    content = json.loads((out / 'metrics.json').read_text())
    assert content['facts']['training patients of each class'] == 1


def test_one_split_alone_is_cross_validated(evaluate, patients, tmp_path, capsys):
    data, out = shutil.copytree(patients, tmp_path / 'data'), tmp_path / 'out'
    annotations = read_annotations(data / 'annotations.json')
    people = sorted({(entry['label'], entry['patient_id']) for entry in annotations['data_list']})
    chosen = {patient for label in 'abc' for _, patient in [pair for pair in people if pair[0] == label][:2]}
    entries = [e | {'split': 'val' if e['patient_id'] in chosen else 'train'} for e in annotations['data_list']]
    write_annotations(data / 'annotations.json', entries, annotations['metainfo']['classes'])
    assert evaluate('random', '--data', data, '--out', out, *TINY, '--folds', '2', '--only-split', 'val') == 0
    tested = {
        name for fold in read_folds(out / 'folds' / 'seed0.json').folds for side in fold.values() for name in side
    }
    assert tested == {entry['video_id'] for entry in entries if entry['split'] == 'val'}
    with pytest.raises(SystemExit):
        evaluate('random', '--data', data, '--out', out, '--only-split', 'val', '--folds', 'split')
    assert '--only-split' in capsys.readouterr().err
    assert evaluate('random', '--data', data, '--out', out, *TINY, '--only-split', 'dev') == 1
    said = capsys.readouterr().err
    assert 'annotations.json' in said and 'split dev' in said and 'train, val' in said


def test_shut_branches_are_a_warning(evaluate, patients, tmp_path, capsys):
    from uscl_plugin.evaluation.backbones import load_backbone

    network = load_backbone('random').network
    for block in network.layer2:
        torch.nn.init.zeros_(block.norm2.weight)
    state = {f'backbone.{name}': tensor for name, tensor in network.state_dict().items()}
    meta = {'mean': [127.5], 'std': [63.75], 'channel_order': 'rgb'}
    torch.save({'state_dict': state, 'meta': meta}, tmp_path / 'shut.pth')
    run = [tmp_path / 'shut.pth', 'random', '--data', patients, '--out', tmp_path / 'out', *TINY, '--seeds', '2']
    assert evaluate(*run, '--protocol', 'knn') == 0
    shown = capsys.readouterr().err
    assert shown.count('warning: shut: residual branches are closed') == 1 and 'random: ' not in shown
    content = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert (
        content['backbones']['shut']['branches']['layer2'] == 0 < content['backbones']['random']['branches']['layer2']
    )
    (warning,) = content['facts']['warnings']
    assert warning.startswith('shut: ') and warning in (tmp_path / 'out' / 'report.html').read_text()


def test_finished_folds_are_not_run_again_and_methods_can_be_added(evaluate, patients, out, capsys):
    run = ['--data', patients, '--out', out, *TINY]
    assert evaluate('random', *run, '--seeds', '2') == 0  # one seed is there
    assert capsys.readouterr().out.count('already finished') == 3
    table = (out / 'table.md').read_text().split('\n', 1)[1]
    times = {path: path.stat().st_mtime_ns for path in out.glob('cells/**/*.npz')}
    assert len(times) == 2 * 3 * 3
    shutil.rmtree(out / 'cells/random/seed1/fold2')
    (out / 'cells/random/seed1/fold1/model.pth').unlink()  # a checkpoint deleted between runs
    capsys.readouterr()
    assert evaluate('random', *run, '--seeds', '2') == 0
    shown = capsys.readouterr()
    assert shown.out.count('already finished') == 5
    assert 'fold1/model.pth was deleted: the predictions of this fold are kept' in (out / 'report.html').read_text()
    assert (out / 'table.md').read_text().split('\n', 1)[1] == table  # the same seed, the same table
    untouched = {path: path.stat().st_mtime_ns for path in times if 'seed1/fold2' not in str(path)}
    assert untouched.items() <= times.items()

    assert evaluate('random', 'other=random34', *run, '--seeds', '2') == 0
    assert capsys.readouterr().out.count('already finished') == 6
    differences = json.loads((out / 'metrics.json').read_text())['summary']['levels']['video']['differences']
    assert (differences[0]['first'], differences[0]['second']) == ('random', 'other')


def test_results_of_other_settings_are_not_mixed(evaluate, patients, out, capsys):
    run = ['random', '--data', patients, '--out', out]
    before = (out / 'metrics.json').read_text()
    assert evaluate(*run, *TINY, '--size', '48') == 1
    assert 'results for different size' in capsys.readouterr().err
    assert evaluate(*run, *TINY, '--protocol', 'knn') == 1
    assert 'different protocol' in capsys.readouterr().err
    assert (out / 'metrics.json').read_text() == before
    folds = (out / 'folds' / 'seed0.json').read_text()
    assert evaluate(*run, *TINY, '--folds', '2') == 1
    assert 'seed0.json contains other folds' in capsys.readouterr().err
    assert (out / 'folds' / 'seed0.json').read_text() == folds
    assert evaluate('random=random34', *run[1:], *TINY) == 1  # another network of the same name
    assert 'different checkpoint' in capsys.readouterr().err


def test_other_images_under_the_same_names_are_noticed(evaluate, patients, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('USCL_CACHE', str(tmp_path / 'cache'))
    data = shutil.copytree(patients, tmp_path / 'data')
    run = ['random', '--data', data, '--out', tmp_path / 'out', *TINY, '--protocol', 'knn']
    assert evaluate(*run) == 0
    videos = VideoFolder(data)
    changed = [videos[k] for k in range(len(videos))]
    changed[0] |= {'frames': [255 - frame for frame in changed[0]['frames']]}
    write_data_folder(data, changed)
    assert evaluate(*run) == 1
    assert 'results for different data' in capsys.readouterr().err
    shutil.rmtree(tmp_path / 'out' / 'cells')
    before = (tmp_path / 'out' / 'table.md').read_text()
    assert evaluate(*run) == 0
    assert (tmp_path / 'out' / 'table.md').read_text() != before


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('cells/random/seed0/fold1/inner-val.npz', b''),
        ('cells/random/seed0/fold1/inner-val.npz', b'PK\x03\x04 cut off'),
        ('cells/random/seed0/fold1/cell.json', b'{}'),
    ],
)
def test_damaged_results_are_made_again(evaluate, patients, finished, out, capsys, name, content):
    (out / name).write_bytes(content)
    (out / 'table.md').unlink()
    assert evaluate('random', '--data', patients, '--out', out, *TINY) == 0
    assert capsys.readouterr().out.count('already finished') == 2
    # the same but for the command, which names the folder
    tables = [(folder / 'table.md').read_text().replace(str(folder), 'OUT') for folder in (finished, out)]
    assert tables[0] == tables[1]


def edit_predictions(path):
    found = Predictions.load(path)
    replace(found, probabilities=found.probabilities[:, ::-1].copy()).save(path)


def edit_text(path):
    content = json.loads(path.read_text())
    content['chosen']['inner-val'] = 1000.0
    path.write_text(json.dumps(content))


def edit_weights(path):
    content = torch.load(path, weights_only=True)
    content['state_dict']['head.fc.bias'] += 1
    torch.save(content, path)


@pytest.mark.parametrize(
    ('name', 'edit'),
    [('inner-val.npz', edit_predictions), ('cell.json', edit_text), ('model.pth', edit_weights)],
)
def test_edited_results_are_not_used(evaluate, patients, finished, out, capsys, name, edit):
    folder = out / 'cells/random/seed0/fold1'
    edit(folder / name)
    run = ['random', '--data', patients, '--out', out, *TINY]
    assert evaluate(*run) == 1
    shown = capsys.readouterr().err
    assert f'{folder / name} has changed' in shown and f'delete {folder} ' in shown
    shutil.rmtree(folder)
    assert evaluate(*run) == 0
    tables = [(place / 'table.md').read_text().replace(str(place), 'OUT') for place in (finished, out)]
    assert tables[0] == tables[1]


def test_a_checkpoint_that_has_seen_the_patients_is_a_leak(
    evaluate, make_clusters, patients, finished, tmp_path, capsys
):
    model = finished / 'cells/random/seed0/fold0/model.pth'  # trained on two thirds of the patients
    run = [f'seen={model}', '--data', patients, '--out', tmp_path / 'again', *TINY, '--protocol', 'knn']
    assert evaluate(*run) == 1
    assert 'the figures would be inflated' in capsys.readouterr().err
    assert evaluate(*run, '--allow-leak') == 0
    other = {f'{"abc"[k % 3]}/v{k}': (2, 'abc'[k % 3], f'{"abc"[k % 3]}{k // 6}') for k in range(18)}
    data = make_clusters(tmp_path / 'other', other, seed=2)
    assert evaluate(f'seen={model}', '--data', data, '--out', tmp_path / 'third', *TINY, '--protocol', 'knn') == 0


@pytest.mark.parametrize(
    'arguments',
    [
        *(['--size', '0'], ['--seeds', '0'], ['--epochs', '0'], ['--val-fraction', '1'], ['--resamples', '0']),
        *(['--epochs', '3'], ['--protocol', 'finetune', '--batch-norm', 'frozen']),
    ],
)
def test_options_out_of_range_or_without_effect_are_refused(evaluate, patients, tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        evaluate('random', '--data', patients, '--out', tmp_path, *arguments)
    assert caught.value.code == 2
    assert arguments[-2] in capsys.readouterr().err


def test_a_leak_needs_permission_and_is_announced(evaluate, patients, tmp_path, capsys):
    run = ['random', '--data', patients, '--out', tmp_path / 'out', *TINY, '--protocol', 'knn', '--group-by', 'video']
    assert evaluate(*run) == 1
    assert 'Pass --allow-leak' in capsys.readouterr().err
    assert evaluate(*run, '--allow-leak') == 0
    assert 'These figures are inflated by leakage' in (tmp_path / 'out' / 'report.html').read_text()
    shown = capsys.readouterr()
    assert 'warning: videos of one patient are on both sides: these figures are inflated by leakage' in shown.err
    assert 'these figures are inflated by leakage' in (tmp_path / 'out' / 'table.md').read_text()


def test_a_split_with_patients_on_both_sides_needs_permission_too(evaluate, patients, tmp_path, capsys):
    data = tmp_path / 'data'
    shutil.copytree(patients, data)
    annotations = read_annotations(data / 'annotations.json')
    entries, tested = annotations['data_list'], {}
    for entry in entries:  # one clip of every class, of patients who have others
        entry['split'] = (
            'test' if tested.setdefault(entry['label'], entry['video_id']) == entry['video_id'] else 'train'
        )
    write_annotations(data / 'annotations.json', entries, annotations['metainfo']['classes'])
    run = ['random', '--data', data, *TINY, '--folds', 'split', '--protocol', 'knn', '--out', tmp_path / 'out']
    assert evaluate(*run) == 1
    assert 'is in both' in capsys.readouterr().err
    assert evaluate(*run, '--group-by', 'video') == 1
    assert 'Pass --allow-leak' in capsys.readouterr().err
    assert evaluate(*run, '--group-by', 'video', '--allow-leak') == 0
    folds = json.loads((tmp_path / 'out' / 'folds' / 'seed0.json').read_text())
    assert folds['folds'][0]['test'] == list(tested.values())


def test_the_hosts_own_test_tool_gives_the_same_figures(finished, tmp_path):
    cell = finished / 'cells/random/seed0/fold1'
    metrics = tmp_path / 'found.pkl'
    arguments = ['--work-dir', str(tmp_path / 'work'), '--out', str(metrics), '--out-item', 'metrics']
    assert run_host_tool('test', [str(cell / 'config.py'), str(cell / 'model.pth'), *arguments]) == 0
    found = json.loads(next((tmp_path / 'work').glob('*/*.json')).read_text())
    honest = Predictions.load(cell / 'inner-val.npz')
    assert found['frame/accuracy'] == pytest.approx((honest.probabilities.argmax(axis=1) == honest.labels).mean())

    other = ['--cfg-options', 'test_dataloader.dataset.classes=[c,b,a]']
    with pytest.raises(ValueError, match='a, b, c, but the data have c, b, a'):
        run_host_tool('test', [str(cell / 'config.py'), str(cell / 'model.pth'), *arguments, *other])


@pytest.mark.slow  # the same of a fold is tested of fine-tuning, of a table of the fixed backbone
def test_the_same_seed_gives_the_same_table_twice(evaluate, patients, tmp_path):
    tables = []
    for name in ('first', 'second'):
        out = tmp_path / name
        run = ['random', '--data', patients, '--out', out, *TINY, '--folds', '2', '--protocol', 'finetune3']
        assert evaluate(*run, '--epochs', '1', *WITHOUT_WORKERS) == 0
        tables.append((out / 'table.md').read_text().split('\n', 1)[1])
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['random', '--folds', '4'], "class 'a' has 3 patients"),
        (['random', '--folds', 'split'], 'no split'),
        (['random', '--folds', 'few'], "--folds should be a number of folds, 'split' or 'official', got 'few'"),
        (['random', '--folds', 'official', '--allow-leak'], 'metainfo.folds'),
        (['nope.pth', '--folds', '3'], 'nope.pth does not exist'),
        (['random', 'random'], "'random'"),
    ],
)
def test_wrong_requests_are_one_line(evaluate, patients, tmp_path, capsys, arguments, message):
    assert evaluate(*arguments[:1], *arguments[1:], '--data', patients, '--out', tmp_path, '--size', '32') == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count('\n') == 1


def test_nothing_is_computed_if_a_checkpoint_is_missing(evaluate, patients, tmp_path, capsys):
    run = ['random', 'none.pth', f'ours={tmp_path}/lost.pth', '--data', patients, '--out', tmp_path / 'out', *TINY]
    assert evaluate(*run) == 1
    shown = capsys.readouterr()
    assert 'none.pth' in shown.err and 'lost.pth' in shown.err and 'random' not in shown.out
    assert not (tmp_path / 'out').exists()


def test_one_class_is_refused_with_what_would_help(evaluate, make_clusters, tmp_path, capsys):
    data = make_clusters(tmp_path / 'data', {f'v{k}': (2, 'healthy', f'p{k}') for k in range(6)})
    assert evaluate('random', '--data', data, '--out', tmp_path / 'out', *TINY) == 1
    shown = capsys.readouterr().err
    assert 'annotations.json' in shown and 'healthy' in shown and 'another label' in shown and shown.count('\n') == 1


def test_nan_features_name_the_frame_and_keep_what_is_done(evaluate, patients, out, tmp_path, capsys):
    run = ['--data', patients, '--out', out, *TINY]
    from uscl_plugin.evaluation.backbones import load_backbone

    state = load_backbone('random').network.state_dict()
    state['layer4.1.bn2.weight'][0] = torch.nan
    meta = {'mean': [127.5], 'std': [63.75], 'channel_order': 'rgb'}
    torch.save({'state_dict': {f'backbone.{k}': v for k, v in state.items()}, 'meta': meta}, tmp_path / 'bad.pth')
    done = (out / 'metrics.json').read_text()
    capsys.readouterr()
    assert evaluate('random', tmp_path / 'bad.pth', *run) == 1
    shown = capsys.readouterr()
    assert 'bad, seed 0, fold 1 of 3: the features of 63 frames are not finite, first a/v0#000000' in shown.err
    assert shown.out.count('already finished') == 3
    assert (out / 'metrics.json').read_text() == done


def test_data_without_patients_is_a_warning(evaluate, make_clusters, tmp_path, capsys):
    videos = {f'{"ab"[k % 2]}/v{k}': (2, 'ab'[k % 2]) for k in range(12)}
    data = make_clusters(tmp_path / 'data', videos)
    assert evaluate('random', '--data', data, '--out', tmp_path / 'out', *TINY) == 0
    assert 'warning: 12 of 12 videos without a patient id' in capsys.readouterr().err


def test_a_folder_that_is_taken_is_left_alone(evaluate, patients, tmp_path, capsys):
    with lock_folder(tmp_path, 'evaluating'):
        assert evaluate('random', '--data', patients, '--out', tmp_path, *TINY) == 1
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    assert f'error: {tmp_path} is in use by process {os.getpid()} on ' in capsys.readouterr().err


@pytest.mark.slow  # evaluations in processes of their own
def test_two_at_once_and_one_that_was_killed(evaluate, root, patients, tmp_path, capsys):
    out = tmp_path / 'out'
    arguments = ['random', '--data', str(patients), '--out', str(out), *TINY]
    command = [sys.executable, str(root / 'tools' / 'evaluate.py'), *arguments]
    environment = os.environ | {'PYTHONPATH': f'{root}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'}

    def start():
        """Start it in a process of its own, and stop it as soon as it has the folder."""
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        while not (out / LOCK).is_file() or not (out / LOCK).read_text():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGSTOP)
        return process

    first = start()
    assert evaluate(*arguments) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f'error: {out} is in use by process {first.pid} on ') and ', evaluating since ' in error
    first.send_signal(signal.SIGCONT)
    assert first.wait(120) == 0, first.stderr.read().decode()
    table = (out / 'table.md').read_text()
    assert not (out / LOCK).exists() and 'random' in table

    shutil.rmtree(out)
    second = start()
    second.kill()
    second.wait()
    assert (out / LOCK).is_file()
    assert evaluate(*arguments) == 0
    assert (out / 'table.md').read_text().splitlines()[2:] == table.splitlines()[2:] and not (out / LOCK).exists()
