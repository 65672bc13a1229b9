"""A model is trained as its backbone was judged, and its card has the figures of that evaluation."""

import json
import re
import shutil

import pytest
from mmengine.config import Config
from tool_module import load_tool

from uscl.core.errors import SourceError
from uscl.data.annotations import read_annotations, write_annotations
from uscl_plugin.evaluation.backbones import load_backbone, write_backbone

TINY = ['--size', '32', '--resamples', '50', '--folds', '3', '--val-fraction', '0.4']


@pytest.fixture(scope='module')
def backbone(tmp_path_factory):
    path = tmp_path_factory.mktemp('backbone') / 'ours.pth'
    write_backbone(path, load_backbone('random', 7))
    return path


@pytest.fixture(scope='module')
def judged(patients, backbone, tmp_path_factory):
    """An evaluation of two backbones by a linear probe; for reading alone."""
    out = tmp_path_factory.mktemp('judged') / 'out'
    arguments = ['random', f'ours={backbone}', '--data', str(patients), '--out', str(out), '--frames-per-video', '2']
    assert load_tool('tools/evaluate.py').main([*arguments, *TINY]) == 0
    return out


def test_protocol_and_figures_are_those_of_the_evaluation(final, patients, backbone, judged, tmp_path):
    changes = {'size': None, 'source': str(backbone), 'evaluation': str(judged)}
    status, printed = final(patients, tmp_path / 'run', **changes)
    assert status == 0
    options = Config.fromfile(tmp_path / 'run' / 'config.py').finetuning.options
    assert (options.protocol, options.size, options.frames_per_video) == ('linear', 32, 2)
    assert options.val_fraction == 0.4
    metrics = json.loads((judged / 'metrics.json').read_text())['summary']['levels']['video']['results']
    figure = metrics['ours']['inner-val']['metrics']['balanced_accuracy']
    wanted = f'{100 * figure["mean"]:.1f} % ({100 * figure["low"]:.1f} to {100 * figure["high"]:.1f})'
    card = (tmp_path / 'run' / 'README.md').read_text()
    assert wanted in printed.splitlines()[-3] and wanted in card and 'has not been judged' not in card
    assert 'have changed' not in card


def test_figures_of_other_data_are_called_that(final, patients, backbone, judged, tmp_path):
    data = shutil.copytree(patients, tmp_path / 'data')
    content = read_annotations(data / 'annotations.json')
    entries = [entry | {'sha256': f'{k:064x}'} for k, entry in enumerate(content['data_list'])]
    write_annotations(data / 'annotations.json', entries, content['metainfo']['classes'])
    assert final(data, tmp_path / 'run', source=str(backbone), evaluation=str(judged))[0] == 0
    assert 'The data have changed since' in (tmp_path / 'run' / 'README.md').read_text()


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'size': 64}, '--size 64'),
        ({'protocol': 'finetune'}, '--protocol finetune'),
        ({'frames_per_video': 3}, '--frames-per-video 3'),
        ({'val_fraction': 0.1}, '--val-fraction 0.1'),
        ({'source': 'random34'}, 'random34'),
        ({'mean': [1.0]}, '--mean'),
    ],
    ids=str,
)
def test_what_contradicts_the_evaluation_is_refused(final, patients, backbone, judged, tmp_path, changes, text):
    error = ValueError if 'mean' in changes else SourceError  # the backbone states another
    with pytest.raises(error, match=text) as caught:
        final(patients, tmp_path / 'run', **{'source': str(backbone), 'evaluation': str(judged)} | changes)
    assert 'mean' in changes or str(judged) in str(caught.value)
    assert not (tmp_path / 'run').exists()


def edited(judged, tmp_path, edit):
    """A copy of the evaluation with its numbers edited."""
    copy = shutil.copytree(judged, tmp_path / 'edited')
    content = json.loads((copy / 'metrics.json').read_text())
    edit(content)
    (copy / 'metrics.json').write_text(json.dumps(content))
    return copy


def as_knn(content):
    for cell in content['cells']:
        cell['fingerprint']['protocol'] = 'knn'


def as_other_config(content):
    for cell in content['cells']:
        cell['fingerprint'] |= {'protocol': 'finetune3', 'config': '0' * 64}


@pytest.mark.parametrize(
    ('edit', 'text'),
    [
        (as_knn, 'knn'),
        (as_other_config, 'another config'),
        (lambda content: content.pop('cells'), r'metrics\.json'),
        (lambda content: content['summary'].pop('levels'), r'metrics\.json'),
    ],
    ids=['knn', 'config', 'no cells', 'no levels'],
)
def test_evaluations_that_do_not_say_how_to_train_are_refused(final, patients, backbone, judged, tmp_path, edit, text):
    folder = edited(judged, tmp_path, edit)
    with pytest.raises(SourceError, match=text) as error:
        final(patients, tmp_path / 'run', size=None, source=str(backbone), evaluation=str(folder))
    assert str(folder) in str(error.value)


def test_a_config_that_an_evaluation_names_is_not_executed(final, patients, backbone, judged, tmp_path):
    trace, planted = tmp_path / 'trace', tmp_path / 'planted.py'
    planted.write_text(f"open({str(trace)!r}, 'w')\n")

    def name_it(content):
        as_other_config(content)
        content['facts']['settings'] |= {'config': str(planted), 'cfg_options': ['default_scope=evil']}

    folder = edited(judged, tmp_path, name_it)
    with pytest.raises(SourceError, match='give the same --config'):
        final(patients, tmp_path / 'run', size=None, source=str(backbone), evaluation=str(folder))
    assert not trace.exists()


def test_a_config_planted_in_the_folder_is_not_executed(final, patients, tmp_path):
    trace, out = tmp_path / 'trace', tmp_path / 'run'
    out.mkdir()
    (out / 'config.py').write_text(f"finetuning = dict()\nopen({str(trace)!r}, 'w')\n")
    with pytest.raises(SourceError, match=r'run/config\.py holds code \(line 2'):
        final(patients, out, epochs=1)
    assert not trace.exists()


def test_a_folder_without_an_evaluation_is_refused(final, patients, tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / 'gone'))):
        final(patients, tmp_path / 'run', evaluation=str(tmp_path / 'gone'))
