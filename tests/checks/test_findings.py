import json
import time

import numpy as np
import pytest
from check_data import alike, texture, write_data

from uscl.checks.check import check_datasets
from uscl.checks.confounding import guess_class
from uscl.checks.duplicates import CERTAIN, THRESHOLD, Duplicate
from uscl.checks.finding import Finding, grouped
from uscl.checks.sides import shared_ids
from uscl.data.folds import Folds, write_folds
from uscl_plugin.evaluation.leaks import equal_clips_leak

ALIKE = ['1', '01', '1.0', 'P1', 'p1', '10', '100', 'nan', 'None', 'p11', 'x y', '2']


def clean(prefix='', seed=0, splits=True):
    """Twelve clips of six patients and two classes, patients on one side each."""
    return {
        f'{prefix}v{k}': (
            texture(seed + k, 4),
            'ab'[k // 2 % 2],
            f'{prefix}p{k // 2}',
            ('test' if k >= 8 else 'train') if splits else None,
        )
        for k in range(12)
    }


def found(result, kind):
    return [(f.severity, f.message) for f in result.findings if f.kind == kind]


def test_clean_data_give_nothing_but_a_note(tmp_path):
    result = check_datasets([write_data(tmp_path / 'a', clean()), write_data(tmp_path / 'b', clean('q', 50))])
    assert {f.kind for f in result.findings} == {'one class a patient'}


def test_patient_on_two_sides_of_the_split_is_named(tmp_path):
    clips = clean()
    clips['v9'] = (*clips['v9'][:2], 'p0', 'test')
    [(severity, message)] = found(check_datasets([write_data(tmp_path, clips)]), 'patient on two sides')
    assert severity == 'error'
    assert all(part in message for part in ("'p0'", 'train: v0, v1', 'test: v9', 'the split column'))


@pytest.mark.parametrize(('test', 'kind', 'names'), [
    (['v8', 'v1'], 'patient on two sides', ("'p0'", 'train: v0', 'test: v1', 'fold 1')),
    (['v8', 'v0'], 'video on two sides', ("'v0'", 'patient p0', 'train and in test', 'fold 1')),
])  # fmt: skip
def test_leak_in_a_fold_is_named(test, kind, names, tmp_path):
    data = write_data(tmp_path / 'data', clean(splits=False))
    good = {'train': ['v0', 'v1', 'v2'], 'val': [], 'test': ['v8', 'v9']}
    write_folds(tmp_path / 'f.json', Folds([good, {'train': ['v0', 'v2'], 'val': [], 'test': test}]))
    [(severity, message)] = found(check_datasets([data], tmp_path / 'f.json'), kind)
    assert severity == 'error'
    assert all(part in message for part in names)


def test_a_video_on_two_sides(tmp_path):
    data = write_data(tmp_path / 'data', clean(splits=False))
    write_folds(tmp_path / 'f.json', Folds([{'train': ['v0', 'v1'], 'val': [], 'test': ['v0']}]))
    [(severity, message)] = found(check_datasets([data], tmp_path / 'f.json'), 'video on two sides')
    assert (severity, "'v0'" in message) == ('error', True)


@pytest.mark.parametrize(('patient', 'split', 'severity', 'says'), [
    ('p9', 'test', 'error', 'in train and in test of the split column'),
    ('p9', 'train', 'warning', 'on the same side, but of different patients'),
    ('p0', 'train', 'warning', 'of the same patient, on the same side'),
    ('p9', None, 'error', 'of different patients'),
    (None, None, 'error', 'of unknown patients'),
])  # fmt: skip
@pytest.mark.parametrize('kind', ['equal frames', 'near-equal'])
def test_copy_is_as_bad_as_its_side(patient, split, severity, says, kind, tmp_path):
    clips = clean()
    frames = clips['v0'][0]
    clips['copy'] = (frames if kind == 'equal frames' else [f // 2 for f in frames], 'a', patient, split)
    [(got, message)] = found(check_datasets([write_data(tmp_path, clips)]), f'{kind} clips')
    assert got == severity
    assert all(part in message for part in ('v0 (patient p0)', 'copy (', says))


def test_pairs_that_only_a_look_can_decide_are_suspects_not_errors(tmp_path):
    clips = clean()
    for name, number, patient in (('alike', 1, 'p9'), ('turned', 4, 'p8')):
        clips[name] = (alike(number, 4, mirrored=name == 'turned'), 'a', patient, 'test')
    result = check_datasets([write_data(tmp_path, clips)])
    assert all(THRESHOLD <= pair.similarity < CERTAIN for pair in result.duplicates)
    assert [pair.kind for pair in result.duplicates] == ['near-equal', 'mirrored']
    both = found(result, 'suspect copies')
    assert result.count('error') == 0 and [severity for severity, _ in both] == ['warning'] * 2
    for (_, message), names in zip(both, (('v1 (', 'alike ('), ('v4 (', 'turned (', 'mirror')), strict=True):
        assert all(part in message for part in (*names, 'in train and in test of the split column', 'similarity 0.'))


@pytest.mark.parametrize(('similarity', 'certain'), [(0.8799, False), (0.9199, False), (0.92, True), (1.0, True)])
def test_from_092_on_a_copy_is_certain(similarity, certain):
    assert Duplicate(0, 1, 'near-equal', similarity).is_certain is certain


def test_findings_that_differ_in_their_clip_are_one_group():
    makers = [
        lambda k: Finding('error', 'still', 'all frames are identical', 'data', f'v{k}', f'{k} frames'),
        lambda k: Finding('error', 'still', 'all frames are identical', 'other', f'v{k}'),
        lambda k: Finding('error', 'still', 'another text', 'data', f'v{k}'),
        lambda k: Finding('note', 'still', 'all frames are identical', 'data', f'v{k}'),
    ]
    findings = [make(k) for k in range(3) for make in makers]
    assert grouped(findings) == [findings[first::4] for first in range(4)]
    assert findings[0].message == 'data: v0: all frames are identical (0 frames).'
    assert grouped([]) == []


def test_folds_decide_about_copies(tmp_path):
    clips = clean(splits=False) | {'copy': (clean()['v0'][0], 'a', 'p9')}
    data = write_data(tmp_path / 'data', clips)
    write_folds(tmp_path / 'f.json', Folds([{'train': ['v0', 'v2'], 'val': ['copy'], 'test': ['v8']}]))
    [(severity, message)] = found(check_datasets([data], tmp_path / 'f.json'), 'equal frames clips')
    assert (severity, 'in train and in val of fold 0' in message) == ('error', True)


def test_copies_and_shared_ids_between_folders(tmp_path):
    second = clean('q', 50)
    second['q-copy'] = ([f[:, ::-1] for f in clean()['v3'][0]], 'a', 'p1', 'train')
    result = check_datasets([write_data(tmp_path / 'one', clean()), write_data(tmp_path / 'two', second)])
    [(severity, message)] = found(result, 'mirrored clips')
    assert (severity, 'v3 (patient p1)' in message, 'q-copy' in message) == ('error', True, True)
    [(severity, message)] = found(result, 'patient id in two folders')
    assert (severity, ': p1.' in message, 'suspicion' in message) == ('note', True, True)


def test_poor_clips_and_classes_are_named(tmp_path):
    clips = clean(splits=False)
    clips |= {
        'black': ([np.zeros((96, 120), np.uint8), *texture(70, 3)], 'a', 'p0'),
        'still': (texture(71, 1) * 5, 'a', 'p0'),
        'short': (texture(72, 2), 'a', 'p0'),
        'long': (texture(73, 120), None, 'p0'),
        'longer': (texture(74, 130), None, 'p0'),
    }
    result = check_datasets([write_data(tmp_path, clips, classes=['a', 'b', 'c'])])
    kinds = ['blank frames', 'still', 'few frames', 'empty class', 'unlabelled', 'uneven lengths']
    messages = {kind: found(result, kind) for kind in kinds}
    assert {kind: len(found_) for kind, found_ in messages.items()} == dict.fromkeys(kinds, 1)
    assert 'black (patient p0)' in messages['blank frames'][0][1]
    assert 'still (patient p0)' in messages['still'][0][1]
    assert 'short (patient p0)' in messages['few frames'][0][1]
    assert "'c'" in messages['empty class'][0][1]
    assert '2 of 17 videos have no label' in messages['unlabelled'][0][1]
    assert '4 to 130' not in messages['uneven lengths'][0][1]
    assert '2 to 130 frames' in messages['uneven lengths'][0][1]
    assert not result.count('error')


def test_frame_size_that_gives_the_class_away(tmp_path):
    sizes = {'a': (96, 120), 'b': (80, 120)}
    clips = {f'v{k}': (texture(k, 3, *sizes['ab'[k % 2]]), 'ab'[k % 2], f'p{k}') for k in range(20)}
    [(severity, message)] = found(check_datasets([write_data(tmp_path, clips)]), 'confounding')
    assert severity == 'warning'
    assert all(part in message for part in ('frame size', '100.0%', 'all 10 clips of 96×120 are a'))


@pytest.mark.parametrize('informative', [True, False])
def test_guess_is_as_good_as_what_the_property_tells(informative):
    rng = np.random.default_rng(0)
    labels = np.repeat(['a', 'b', 'b', 'b'], 30)
    groups = np.array([f'p{k // 2}' for k in range(120)])
    values = np.where(rng.random(120) < 0.9, labels, 'x') if informative else rng.choice(['s', 't'], 120)
    accuracy, chance, p_value = guess_class(values, labels, groups)
    assert chance.mean() == pytest.approx(0.5, abs=0.05)
    assert (accuracy > 0.85 and p_value < 0.01) if informative else (accuracy < 0.65 and p_value > 0.05)


def test_labels_are_shuffled_between_patients_not_clips():
    """Two scanners, one patient each a class: knowing the patient is not knowing the class."""
    labels = np.repeat(['a', 'b', 'a', 'b'], 25)
    groups = np.repeat(['p0', 'p1', 'p2', 'p3'], 25)
    accuracy, chance, p_value = guess_class(labels, labels, groups)
    assert accuracy == chance.max() == 1  # some permutation gives the same labels, so four patients prove nothing
    assert p_value > 0.1


def test_one_patient_a_class_teaches_nothing():
    assert guess_class(np.array(['s', 't']), np.array(['a', 'b']), np.array(['p', 'q'])) is None


@pytest.mark.parametrize(('folds', 'patients', 'splits', 'says'), [
    ('5', ('p0', 'p9'), (None, None), "'v0' and 'copy' are the same file, of p0 and of p9"),
    ('5', ('p0', 'p0'), ('train', 'test'), ''),
    ('split', ('p0', 'p0'), ('train', 'test'), 'in train and in test'),
    ('split', ('p0', 'p9'), ('train', 'train'), ''),
    ('split', ('p0', 'p9'), ('train', None), ''),
])  # fmt: skip
def test_evaluation_refuses_equal_files_on_both_sides(folds, patients, splits, says, tmp_path):
    frames = texture(0, 2)
    clips = {name: (frames, 'a', p, s) for name, p, s in zip(('v0', 'copy'), patients, splits, strict=True)}
    path = write_data(tmp_path, clips) / 'annotations.json'
    annotations = json.loads(path.read_text())
    for entry in annotations['data_list']:
        entry['sha256'] = 'f00d'
    path.write_text(json.dumps(annotations))
    leak = equal_clips_leak(tmp_path, folds)
    assert (says in leak) if says else leak == ''
    [(_, message)] = found(check_datasets([tmp_path]), 'same file twice')
    assert 'v0' in message and 'copy' in message


@pytest.mark.parametrize('seed', [14, 25, 29])
def test_frame_size_that_has_nothing_to_do_with_the_class_is_no_finding(seed, tmp_path):
    """Seeds for which classes, guessed from it, come out better than chance on average."""
    sizes = np.random.default_rng(seed).integers(0, 2, 20)
    clips = {f'v{k}': (texture(k, 2, (96, 80)[sizes[k]], 120), 'ab'[k % 2], f'p{k}') for k in range(20)}
    assert found(check_datasets([write_data(tmp_path, clips)]), 'confounding') == []


def test_shared_ids_of_large_folders_are_found_at_once():
    sides = {name: [{'video_id': f'{name}{k}', 'patient_id': f'p{k + first}'} for k in range(20_000)]
             for name, first in (('a', 0), ('b', 19_990))}  # fmt: skip
    start = time.perf_counter()
    (finding,) = shared_ids(sides)
    assert finding.message.startswith('10 patient ids ') and 'p19990, ' in finding.message and len(finding.clips) == 20
    assert time.perf_counter() - start < 5  # in quadratic time: minutes


@pytest.mark.parametrize('unknown', [0, 1, 6])
def test_unknown_patients_are_counted(unknown, tmp_path):
    clips = {
        name: (frames, label, None if k < unknown else patient, split)
        for k, (name, (frames, label, patient, split)) in enumerate(clean().items())
    }
    result = found(check_datasets([write_data(tmp_path, clips)]), 'patients unknown')
    assert [severity for severity, _ in result] == ['warning'] * (unknown > 0)
    assert all(f'{tmp_path}: {unknown} of 12 videos ' in message for _, message in result)


def test_labels_and_patients_that_look_alike_are_one_warning(tmp_path):
    clips = {name: (*clip[:2], new, None) for (name, clip), new in zip(clean().items(), ALIKE, strict=True)}
    clips['v0'] = (clips['v0'][0], 'A', *clips['v0'][2:])
    [(severity, message)] = found(check_datasets([write_data(tmp_path, clips)]), 'names alike')
    assert severity == 'warning' and str(tmp_path) in message
    for part in ('label A / a', 'patient 1 / 01 / 1.0', 'patient P1 / p1', 'patient nan / None'):
        assert part in message
    assert 'patient 10' not in message and 'p11' not in message
