"""However training clips are disguised, an evaluation that tests on them says so; the clean twin of each passes."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from check_data import ALTERATIONS, alike, crop, jpeg, texture
from media_clips import write_frames

from uscl.checks.seen_data import Seen, seen_of
from uscl.clips.discovery import find_sources
from uscl.convert.privacy.patient_key import key_file, read_patient_key
from uscl.convert.privacy.patients import protect_sources
from uscl.convert.privacy.pseudonyms import Pseudonyms
from uscl.convert.videos.store_settings import StoreSettings
from uscl.convert.videos.video_conversion import convert_sources
from uscl.data.annotations import read_annotations
from uscl.data.folder_writer import write_data_folder
from uscl.options.evaluation_options import EvaluationOptions
from uscl_plugin.evaluation.backbones import load_backbone, write_backbone
from uscl_plugin.evaluation.leaks import find_leaks
from uscl_plugin.weights.backbone_export import export_backbone
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.checkpoint_files import write_checkpoint
from uscl_plugin.weights.provenance import seen_by

SALT = b'a salt of the tests, long enough'


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    """A folder of settings without a key."""
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'settings'))


def as_rgb(frames):
    return np.stack([np.repeat(frame[..., None], 3, axis=2) for frame in frames])


def convert(folder, out, hash_names=False, **settings):
    found = find_sources(folder)
    sources, _ = protect_sources(found.sources, Pseudonyms(SALT), hash_names=hash_names)
    found = replace(found, sources=sources)
    assert convert_sources(found, out, StoreSettings(**{'fps': None, 'size': 96} | settings), workers=1) == 0
    return out


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    """Four clips of four patients, and two others, `clean`, of other patients."""
    folder = tmp_path_factory.mktemp('clips')
    for name, seeds in (('trained', range(4)), ('clean', (20, 21))):
        for k in seeds:
            path = folder / name / 'ab'[k % 2] / f'{name}{k}.mkv'
            path.parent.mkdir(parents=True, exist_ok=True)
            write_frames(path, as_rgb(texture(k)), 5)
    return folder


@pytest.fixture(scope='module')
def trained(clips, tmp_path_factory):
    return convert(clips / 'trained', tmp_path_factory.mktemp('data') / 'trained')


@pytest.fixture(scope='module')
def clean(clips, tmp_path_factory):
    return convert(clips / 'clean', tmp_path_factory.mktemp('data') / 'clean')


def entries_of(data):
    return read_annotations(data / 'annotations.json')['data_list']


def save(path, seen):
    """A checkpoint of a network that has seen this; nothing looks at its weights."""
    write_checkpoint(path, {'conv1.weight': torch.zeros(1)}, {'uscl': {'seen': seen.as_plain()}})
    return path


@pytest.fixture
def checkpoint(trained, tmp_path):
    return save(tmp_path / 'backbone.pth', seen_of(entries_of(trained), read_patient_key(create=True)))


def judge(checkpoint, data, folds='5'):
    options = EvaluationOptions(checkpoints=[f'ours={checkpoint}'], data=str(data), out='', folds=folds)
    return find_leaks(options, read_annotations(data / 'annotations.json')['metainfo'], data)


def assert_found(leaks, checkpoint, clip, kind):
    [leak] = leaks.certain
    assert str(checkpoint) in leak and clip in leak and kind in leak
    assert not leaks.unknown


def assert_clean(leaks):
    assert (leaks.certain, leaks.possible, leaks.unknown) == ([], [], [])


def same_file_other_name(clips, tmp_path, trained):
    (tmp_path / 'again' / 'a').mkdir(parents=True)
    shutil.copy(clips / 'trained' / 'a' / 'trained0.mkv', tmp_path / 'again' / 'a' / 'x.mkv')
    return convert(tmp_path / 'again', tmp_path / 'data'), 'a/x.mkv'


def same_folder(clips, tmp_path, trained):
    return trained, 'a/trained0.mkv'


def second_folder(clips, tmp_path, trained):
    return shutil.copytree(trained, tmp_path / 'second'), 'a/trained0.mkv'


def moved_folder(clips, tmp_path, trained):
    shutil.copytree(trained, tmp_path / 'first')
    return (tmp_path / 'first').rename(tmp_path / 'moved'), 'a/trained0.mkv'


def other_folder_of_work(clips, tmp_path, trained):
    os.chdir(trained.parent)  # undone by the test
    return trained.relative_to(trained.parent), 'a/trained0.mkv'


def other_conversion(clips, tmp_path, trained):
    return convert(clips / 'trained', tmp_path / 'data', fps=2.0, size=64), 'a/trained0.mkv'


def hidden_names(clips, tmp_path, trained):
    data = convert(clips / 'trained', tmp_path / 'data', hash_names=True)
    return data, next(entry['video_id'] for entry in entries_of(data))


@pytest.mark.parametrize(
    'disguise',
    [
        *(same_folder, same_file_other_name, second_folder, moved_folder, other_folder_of_work, other_conversion),
        hidden_names,
    ],
)
def test_the_same_files(disguise, clips, trained, clean, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, clip = disguise(clips, tmp_path, trained)
    assert_found(judge(checkpoint, data), checkpoint, clip, 'the same file')
    assert_clean(judge(checkpoint, clean))


ALTERED = {
    'another JPEG quality': jpeg(40),
    'half the size': ALTERATIONS['half size'],
    'cropped': crop(0.04, 0.04, 0.04, 0.04),
    'cropped at the top': ALTERATIONS['cropped at the top'],
    'mirrored': lambda frame: frame[:, ::-1],
    'brighter': ALTERATIONS['brighter'],
}


@pytest.mark.parametrize('which', ['tested', 'trained'])
@pytest.mark.parametrize('alteration', ALTERED)
def test_altered_copies(alteration, which, clean, tmp_path):
    """Whether the copy is tested or the network was trained on it."""
    clips = [texture(k) for k in range(4)]
    copies = [[ALTERED[alteration](frame) for frame in clip] for clip in clips]
    sides = {'tested': (clips, copies), 'trained': (copies, clips)}[which]
    first, second = (
        write_data_folder(
            tmp_path / name,
            [dict(video_id=f'{name}{k}', label='a', patient_id=f'{name[0]}{k}', frames=f) for k, f in enumerate(side)],
        )
        for name, side in zip(('first', 'second'), sides, strict=True)
    )
    checkpoint = save(tmp_path / 'backbone.pth', seen_of(entries_of(first), None))
    kind = 'a mirror image' if alteration == 'mirrored' else 'the same pictures'
    leaks = judge(checkpoint, second)
    assert_found(leaks, checkpoint, "'second0' of patient 's0'", kind)
    assert '4 clips of 4 patients' in leaks.certain[0]
    assert_clean(judge(checkpoint, clean))


def test_another_lung_on_the_same_scanner_is_a_suspicion(tmp_path):
    first, second = (
        write_data_folder(tmp_path / name, [dict(video_id=name, label='a', patient_id=name, frames=frames)])
        for name, frames in (('one', texture(1, 4)), ('two', alike(1, 4)))
    )
    checkpoint = save(tmp_path / 'backbone.pth', seen_of(entries_of(first), None))
    leaks = judge(checkpoint, second)
    assert leaks.certain == [] and len(leaks.possible) == 1
    assert str(checkpoint) in leaks.possible[0] and "'two' of patient 'two'" in leaks.possible[0]


@pytest.mark.parametrize(
    ('name', 'target'),
    [
        *(('export.pth', 'mmpretrain'), ('export.safetensors', 'mmpretrain'), ('bare.pth', 'torchvision')),
        *(('bare.pth', 'timm'), ('bare.safetensors', 'timm'), ('hub', 'hub')),
    ],
)
def test_exports(name, target, trained, clean, checkpoint, tmp_path):
    if target in ('timm', 'hub'):
        pytest.importorskip('timm')
    whole, export = tmp_path / 'whole.pth', tmp_path / name
    write_backbone(whole, replace(load_backbone('random'), seen=seen_by(checkpoint)))
    export_backbone(whole, export, target)
    path = export / 'model.safetensors' if target == 'hub' else export
    assert_found(judge(path, trained), path, 'a/trained0.mkv', 'the same file')
    assert_clean(judge(path, clean))


@pytest.mark.parametrize('patient', ['Pat-01', ' PAT 01', 'pat_01', 'ｐａｔ０１'])
def test_patients_by_another_spelling(patient, clean, tmp_path):
    data = [dict(video_id='x', label='a', patient_id='pat01', frames=texture(7))]
    first = write_data_folder(tmp_path / 'first', data)
    other = [dict(video_id='y', label='a', patient_id=patient, frames=texture(8))]
    checkpoint = save(tmp_path / 'backbone.pth', seen_of(entries_of(first), read_patient_key(create=True)))
    leaks = judge(checkpoint, write_data_folder(tmp_path / 'second', other))
    [possible] = leaks.possible
    assert leaks.certain == [] and str(checkpoint) in possible and repr(patient) in possible
    other[0]['patient_id'] = 'pat02'
    assert_clean(judge(checkpoint, write_data_folder(tmp_path / 'third', other)))


@pytest.mark.parametrize('change', ['another', 'lost'])
def test_patients_under_another_key_cannot_be_compared(change, tmp_path):
    """Neither by a user with another key nor by one without; that is never 'no leak'."""
    data = [dict(video_id='x', label='a', patient_id='pat01', frames=texture(7))]
    first = write_data_folder(tmp_path / 'first', data)
    second = write_data_folder(tmp_path / 'second', [data[0] | {'frames': texture(8)}])
    checkpoint = save(tmp_path / 'backbone.pth', seen_of(entries_of(first), read_patient_key(create=True)))
    key_file().unlink()
    if change == 'another':
        read_patient_key(create=True)
    leaks = judge(checkpoint, second)
    assert leaks.certain == []
    [possible] = leaks.possible
    assert str(checkpoint) in possible and 'cannot be compared' in possible


@pytest.mark.parametrize('seen', [None, Seen(is_complete=False), Seen(frozenset({'f00d'}), is_complete=False)])
def test_unknown_training_data_are_said(seen, clean, tmp_path):
    path = tmp_path / 'other.pth'
    if seen is None:
        torch.save({'conv1.weight': torch.zeros(1)}, path)
    else:
        save(path, seen)
    leaks = judge(path, clean)
    [unknown] = leaks.unknown
    how = 'partly unknown' if seen is not None and seen.sha256s else 'training data unknown'
    assert leaks.certain == leaks.possible == [] and str(path) in unknown and how in unknown
    assert_clean(judge('random', clean))
    assert_clean(judge(f'random:{path}', clean))  # of which the architecture alone is used


@pytest.mark.parametrize(
    ('seen', 'folds', 'patients'),
    [
        ([0], '5', 1),
        ([1, 2, 4], '5', 3),  # an unknown patient is the clip's own
        ([0, 1, 2], 'split', 0),
        ([3], 'split', 0),  # val is not tested, since there is test
        ([2, 4, 5], 'split', 2),
        ([], '5', 0),
    ],
)
def test_only_tested_patients_count(seen, folds, patients, tmp_path):
    """Six clips: three of p0, p0 and p1 in train, one in val, and two of unknown patients in test."""
    owners, sides = ('p0', 'p0', 'p1', 'p2', None, None), ('train', 'train', 'train', 'val', 'test', 'test')
    videos = [
        dict(video_id=f'v{k}', label='ab'[k % 2], patient_id=owners[k], split=sides[k], frames=texture(k, 3))
        for k in range(6)
    ]
    data = write_data_folder(tmp_path / 'data', videos)
    entries = entries_of(data)
    checkpoint = save(tmp_path / 'backbone.pth', seen_of([entries[k] for k in seen], None))
    leaks = judge(checkpoint, data, folds)
    assert (f'of {patients} patient' in leaks.certain[0]) if patients else leaks.certain == []


@pytest.mark.parametrize('signature', ['no base64', 'AAAA'])
def test_a_damaged_signature_is_refused(signature, clean, tmp_path):
    checkpoint = save(tmp_path / 'backbone.pth', Seen(signatures=frozenset({signature})))
    with pytest.raises(CheckpointError, match=r'backbone\.pth'):
        judge(checkpoint, clean)


def test_a_split_that_divides_patients_is_a_leak_where_it_is_allowed(clean):
    metainfo = read_annotations(clean / 'annotations.json')['metainfo']
    for group_by, certain in (('patient', []), ('video', ['videos of one patient are on both sides'])):
        options = EvaluationOptions(checkpoints=['random'], data=str(clean), out='', folds='split', group_by=group_by)
        assert find_leaks(options, metainfo, clean).certain == certain
