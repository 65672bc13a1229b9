"""A final classifier has everything labelled, its best epoch, and can be used from its file alone."""

import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tool_module import load_tool

from uscl.checks.seen_data import Seen
from uscl.core.errors import SourceError
from uscl.data.annotations import read_annotations
from uscl.data.folds import group_of, read_folds
from uscl.data.png_frames import write_png
from uscl.data.video_folder import VideoFolder
from uscl_plugin.evaluation import probe_features
from uscl_plugin.evaluation.backbones import load_backbone, write_backbone
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint


def weights(path):
    return load_plain_checkpoint(path)['state_dict']


@pytest.fixture(scope='module')
def finished(final, patients, tmp_path_factory):
    """A finished run of two epochs and what it printed; for reading alone."""
    out = tmp_path_factory.mktemp('finished') / 'run'
    status, printed = final(patients, out, epochs=2, seed=3)
    assert status == 0
    return out, printed


def predict_frames(model, folder, frames, capsys):
    """Class probabilities of frames by `uscl predict`, each as an image."""
    names = [folder / f'{k}.png' for k in range(len(frames))]
    for name, frame in zip(names, frames, strict=True):
        write_png(name, frame)
    capsys.readouterr()
    assert load_tool('tools/predict.py').main([str(model), *map(str, names), '--json']) == 0
    return np.array([list(row['probabilities'].values()) for row in json.loads(capsys.readouterr().out)])


def test_everything_that_is_promised_is_written(finished):
    out, printed = finished
    assert {path.name for path in out.iterdir()} == {'model.pth', 'config.py', 'README.md', 'log'}
    assert not list(out.glob('log/epoch_*.pth'))
    lines = printed.splitlines()
    assert [line.split(':')[0] for line in lines[-3:]] == ['reached', 'written', 'next']
    assert lines[-1] == f'next: uscl predict {out / "model.pth"} CLIP'
    assert 'not judged' in lines[-3] and len(lines) < 12


def test_everything_labelled_is_used_and_patients_are_on_one_side(finished, patients):
    out, printed = finished
    entries = read_annotations(patients / 'annotations.json')['data_list']
    side = read_folds(out / 'log' / 'folds.json').sides(0)
    assert set(side) == {entry['video_id'] for entry in entries}
    groups = {part: {group_of(e) for e in entries if side[e['video_id']] == part} for part in ('train', 'val')}
    assert len(groups['train']) == 6 and len(groups['val']) == 3 and not groups['train'] & groups['val']
    assert 'training on 12 videos of 6 patients' in printed
    seen = load_plain_checkpoint(out / 'model.pth')['meta']['uscl']['seen']
    trained = {entry['signature'] for entry in entries if side[entry['video_id']] == 'train'}
    assert set(seen['signatures']) == trained and seen['complete']  # it started from random weights


def test_what_the_backbone_has_seen_is_kept(final, patients, tmp_path):
    start = replace(load_backbone('random'), seen=Seen(frozenset({'f00d'})))
    write_backbone(tmp_path / 'start.pth', start)
    for protocol, options in (('linear', {}), ('finetune3', {'epochs': 1})):
        out = tmp_path / protocol
        assert final(patients, out, source=str(tmp_path / 'start.pth'), protocol=protocol, **options)[0] == 0
        seen = load_plain_checkpoint(out / 'model.pth')['meta']['uscl']['seen']
        assert seen['sha256s'] == ['f00d'] and len(seen['signatures']) >= 12


def test_the_model_is_that_of_the_best_epoch_on_patients_held_back(finished, patients, tmp_path, capsys):
    out, _ = finished
    rows = json.loads((out / 'log' / 'epochs.json').read_text())
    model = load_plain_checkpoint(out / 'model.pth')
    best = max(rows, key=lambda row: (row['quality'], -row['epoch']))
    assert [row['epoch'] for row in rows] == [1, 2] and model['meta']['epoch'] == best['epoch']
    held_back = read_folds(out / 'log' / 'folds.json').folds[0]['val']
    videos = [video for video in map(dict, VideoFolder(patients)) if video['video_id'] in held_back]
    frames = [frame for video in videos for frame in video['frames']]
    labels = ['abc'.index(video['label']) for video in videos for _ in video['frames']]
    found = predict_frames(out / 'model.pth', tmp_path, frames, capsys)
    assert np.mean(found.argmax(axis=1) == labels) == pytest.approx(best['quality'][0])
    assert -np.log(found[np.arange(len(labels)), labels]).mean() == pytest.approx(-best['quality'][1], rel=1e-3)


def test_the_model_knows_its_training_clips_and_those_held_back(finished):
    found = load_plain_checkpoint(finished[0] / 'model.pth')['training_features']
    assert (len(found['features']), found['held_out']) == (12, 6)


def test_the_card_says_what_is_known(finished):
    card = (finished[0] / 'README.md').read_text()
    assert card.startswith('---\nlibrary_name: mmpretrain\npipeline_tag: image-classification\n')
    assert str(finished[0]) not in card
    for text in ('a, b, c', '12 videos of 6 patients', 'has not been judged', 'not a medical device', 'random'):
        assert text in card
    assert load_plain_checkpoint(finished[0] / 'model.pth')['meta']['uscl']['data_digest'] in card


def test_the_same_command_again_trains_nothing(finished, final, patients, tmp_path):
    out = shutil.copytree(finished[0], tmp_path / 'run')
    before = (out / 'model.pth').stat().st_mtime_ns
    status, printed = final(patients, out, epochs=2, seed=3)
    assert status == 0 and (out / 'model.pth').stat().st_mtime_ns == before
    assert printed.splitlines()[-3] == finished[1].splitlines()[-3] and 'epoch 1/2' not in printed


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'epochs': 5}, '--epochs 2'),
        ({'size': 64}, '--size 32'),
        ({'protocol': 'finetune'}, '--protocol finetune3'),
        ({'source': 'random34'}, '--from SHA-256 random resnet18'),
    ],
    ids=str,
)
def test_another_run_in_the_folder_is_left_alone(finished, final, patients, changes, text):
    out, _ = finished
    before = (out / 'model.pth').read_bytes()
    with pytest.raises(SourceError, match=text) as error:
        final(patients, out, **{'epochs': 2, 'seed': 3} | changes)
    assert str(out) in str(error.value) and (out / 'model.pth').read_bytes() == before


@pytest.mark.usefixtures('sigint')
@pytest.mark.parametrize('when', ['after_train_iter', 'after_train_epoch'])
def test_stopped_and_gone_on_is_as_if_not_stopped(finished, final, patients, tmp_path, when):
    """In the second epoch; or after the checkpoint of the first, before it is evaluated."""

    def call_hook(self, name, **kwargs):
        original(self, name, **kwargs)
        if name == when and self.epoch == (1 if when == 'after_train_iter' else 0):
            if when == 'after_train_epoch':
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)

    out, original = tmp_path / 'run', Runner.call_hook
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, 'call_hook', call_hook)
        if when == 'after_train_epoch':
            with pytest.raises(KeyboardInterrupt):
                final(patients, out, epochs=2, seed=3)
        else:
            status, printed = final(patients, out, epochs=2, seed=3)
            assert status == 130 and printed.endswith('stopped in epoch 2; go on with:\nuscl finetune AGAIN\n')
    assert not (out / 'model.pth').exists() and (out / 'log' / 'epoch_1.pth').is_file()
    assert final(patients, out, epochs=2, seed=3)[0] == 0
    one, other = weights(out / 'model.pth'), weights(finished[0] / 'model.pth')
    assert one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    rows = [json.loads((run / 'log' / 'epochs.json').read_text()) for run in (out, finished[0])]
    assert rows[0] == rows[1]


def test_without_patients_to_choose_an_epoch_the_last_is_kept(final, patients, tmp_path):
    status, printed = final(patients, tmp_path / 'run', epochs=1, val_fraction=0.0)
    assert status == 0 and 'training on 18 videos of 9 patients' in printed
    assert 'reached: the last of 1 epochs' in printed
    assert load_plain_checkpoint(tmp_path / 'run' / 'model.pth')['meta']['epoch'] == 1
    cfg = Config.fromfile(tmp_path / 'run' / 'config.py')
    assert cfg.val_dataloader is None and cfg.test_dataloader.dataset.split == 'train'


def test_a_linear_probe_is_fitted_to_everything_labelled(final, patients, tmp_path, capsys, monkeypatch):
    out, listed, list_frames = tmp_path / 'run', [], probe_features.list_frames
    monkeypatch.setattr(probe_features, 'list_frames', lambda *args: listed.append(list_frames(*args)) or listed[-1])
    monkeypatch.setenv('USCL_CACHE', str(tmp_path / 'cache'))
    status, printed = final(patients, out, protocol='linear', val_fraction=0.0)
    assert status == 0 and 'C fixed' in printed.splitlines()[-3]
    stored = [dict(np.load(path)) for path in (tmp_path / 'cache').rglob('*.npz')]
    arrays = next(each for each in stored if 'features' in each) | {
        'labels': listed[0].labels,
        'paths': listed[0].paths,
    }
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    reference.fit(arrays['features'].astype(float), arrays['labels'])
    assert len(arrays['labels']) == sum(video['num_frames'] for video in VideoFolder(patients).entries)
    frames = list(VideoFolder(patients).frames(arrays['paths'][:8]))
    found = predict_frames(out / 'model.pth', tmp_path, frames, capsys)
    np.testing.assert_allclose(found, reference.predict_proba(arrays['features'][:8].astype(float)), atol=1e-3)


def test_a_probe_chooses_its_setting_on_patients_held_back(final, patients, tmp_path):
    status, printed = final(patients, tmp_path / 'run', protocol='linear')
    assert status == 0 and 'chosen on patients held back' in printed.splitlines()[-3]
    found = load_plain_checkpoint(tmp_path / 'run' / 'model.pth')['training_features']
    assert (len(found['features']), found['held_out']) == (12, 6)


@pytest.mark.parametrize(
    ('videos', 'text'),
    [({'v': (3, None), 'w': (3, None)}, 'no video has a label'), ({'v': (3, 'a'), 'w': (3, 'a')}, "all .*'a'")],
    ids=['no labels', 'one class'],
)
def test_data_that_cannot_be_classified_are_refused(final, make_clusters, tmp_path, videos, text):
    data = make_clusters(tmp_path / 'data', videos)
    with pytest.raises(ValueError, match=text) as error:
        final(data, tmp_path / 'run')
    assert str(data) in str(error.value) and not (tmp_path / 'run').exists()


def test_backbones_that_are_none_are_refused(final, patients, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone\.pth'):
        final(patients, tmp_path / 'run', source=str(tmp_path / 'gone.pth'))
    torch.save({'state_dict': {'fc.weight': torch.zeros(2)}}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=r'other\.pth'):
        final(patients, tmp_path / 'run', source=str(tmp_path / 'other.pth'))
