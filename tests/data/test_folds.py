import numpy as np
import pytest

from uscl.data.fold_making import final_fold, folds_of_splits, make_folds, official_folds
from uscl.data.folds import SIDES, Folds, check_folds, group_of, read_folds, write_folds


def entry(name, label='a', patient=None, split=None, frames=3):
    return {
        'video_id': name,
        'label': label,
        'patient_id': patient,
        'split': split,
        'frames': [f'frames/{name}/{k}.png' for k in range(frames)],
    }


def random_entries(seed, patients=(5, 9, 7)):
    """Patients of three classes with one to four videos each; some have no id."""
    rng = np.random.default_rng(seed)
    entries = []
    for label, count in zip('abc', patients, strict=True):
        for k in range(count):
            for v in range(rng.integers(1, 5)):
                patient = f'{label}{k}' if rng.random() > 0.1 or k < 5 else None
                entries.append(entry(f'{label}{k}v{v}', label, patient))
    return entries


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('num_folds', [2, 3, 5])
@pytest.mark.parametrize('val_fraction', [0, 0.2, 0.5])
def test_patients_stay_together_and_every_video_is_tested_once(seed, num_folds, val_fraction):
    entries = random_entries(seed)
    folds = make_folds(entries, num_folds, seed, val_fraction=val_fraction)
    group = {e['video_id']: group_of(e) for e in entries}
    label = {e['video_id']: e['label'] for e in entries}
    tested = [name for fold in folds.folds for name in fold['test']]
    assert sorted(tested) == sorted(group)
    for fold in folds.folds:
        groups = [{group[name] for name in fold[side]} for side in SIDES]
        assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
        assert sorted(name for side in SIDES for name in fold[side]) == sorted(group)
        assert bool(fold['val']) == bool(val_fraction)
        assert {label[name] for name in fold['train']} == set('abc')
    everywhere = all({label[name] for name in fold['test']} == set('abc') for fold in folds.folds)
    assert everywhere != any('does not test on' in note for note in folds.warnings)
    assert folds == make_folds(entries, num_folds, seed, val_fraction=val_fraction)
    assert folds.folds != make_folds(entries, num_folds, seed + 1, val_fraction=val_fraction).folds


@pytest.mark.parametrize('seed', range(5))
def test_folds_are_stratified(seed):
    """Patients with many videos of one class each: every fold gets its share of every class."""
    entries = [
        entry(f'{label}{p}v{v}', label, f'{label}{p}') for label in 'abc' for p in range(8) for v in range(2 + p % 2)
    ]
    for fold in make_folds(entries, 4, seed).folds:
        counts = [sum(name[0] == label for name in fold['test']) for label in 'abc']
        assert counts == [5, 5, 5]


def test_smaller_units_for_showing_a_leak():
    entries = random_entries(1)
    folds = make_folds(entries, 5, 0, 'video')
    units = [e['video_id'] for e in entries]
    assert sorted(name for fold in folds.folds for name in fold['test']) == sorted(units)
    owner = {e['video_id']: group_of(e) for e in entries}
    train = {owner[name] for name in folds.folds[0]['train']}
    assert train & {owner[name] for name in folds.folds[0]['test']}  # the leak


def test_too_few_patients_names_the_class_and_the_largest_number():
    entries = random_entries(0, (3, 9, 7))
    message = r"^class 'a' .*3 patients.*5 folds.*--folds 3, add more patients"
    with pytest.raises(ValueError, match=message):
        make_folds(entries, 5)
    make_folds(entries, 3)
    with pytest.raises(ValueError, match=r"'a' has 1 patient, too few for 2 folds: add more patients"):
        make_folds(random_entries(0, (1, 9, 7)), 2)


def test_videos_without_patient_are_a_warning():
    entries = [entry(f'{label}{k}', label, None) for label in 'ab' for k in range(4)]
    assert '8 of 8 videos without a patient id' in make_folds(entries, 2).warnings[0]
    entries = [entry(f'{label}{k}', label, f'{label}{k}') for label in 'ab' for k in range(4)]
    assert not make_folds(entries, 2).warnings


def test_unlabelled_videos_are_left_out():
    entries = [*random_entries(2), entry('u', None, 'p')]
    assert all('u' not in fold[side] for fold in make_folds(entries, 2).folds for side in SIDES)
    with pytest.raises(ValueError, match=r'label'):
        make_folds([entry('u', None)], 2)


@pytest.mark.parametrize('splits', ['train test', 'train val', 'train val test'])
def test_folds_of_the_split_column(splits):
    entries = [entry(f'{s}{k}', 'ab'[k % 2], f'{s}{k}', s) for s in splits.split() for k in range(6)]
    folds = folds_of_splits([*entries, entry('x', 'a', 'x', None)])
    (fold,) = folds.folds
    tested = 'test' if 'test' in splits else 'val'
    assert fold['test'] == [f'{tested}{k}' for k in range(6)]
    if splits == 'train val test':
        assert fold['val'] == [f'val{k}' for k in range(6)]
        assert len(fold['train']) == 6
    else:
        assert len(fold['val']) == 2  # one of three patients a class
        assert sorted([*fold['train'], *fold['val']]) == [f'train{k}' for k in range(6)]
    assert '1 video with a label but no split' in folds.warnings[0]


def test_a_patient_on_both_sides_of_the_split_column_is_named():
    entries = [entry('v0', 'a', 'p7', 'train'), entry('v1', 'a', 'p7', 'test'), entry('v2', 'b', 'p8', 'train')]
    with pytest.raises(ValueError, match=r"^patient 'p7' .*train .*test of fold 0"):
        folds_of_splits(entries, val_fraction=0)
    allowed = folds_of_splits(entries, val_fraction=0, group_by='video')
    assert (allowed.group_by, allowed.folds[0]['test']) == ('video', ['v1'])
    with pytest.raises(ValueError, match=r'holdout'):
        folds_of_splits([entry('v0', 'a', 'p', 'holdout')])
    with pytest.raises(ValueError, match=r'no split'):
        folds_of_splits([entry('v0')])


def test_official_folds_are_kept():
    entries = [entry(f'v{k}', 'ab'[k % 2]) for k in range(10)]
    given = [{'train': [f'v{k}' for k in range(10) if k % 5 != f], 'test': [f'v{f}', f'v{f + 5}']} for f in range(5)]
    annotations = {'metainfo': {'folds': given}, 'data_list': entries}
    folds = official_folds(annotations, val_fraction=0.25)
    for made, wanted in zip(folds.folds, given, strict=True):
        assert made['test'] == wanted['test']
        assert sorted([*made['train'], *made['val']]) == sorted(wanted['train'])
        assert len(made['val']) == 2
    assert '10 of 10 videos without a patient id' in folds.warnings[0]
    given[1] = {'train': ['v0', 'v1', 'v2', 'v2', 'v3'], 'test': ['v1', 'v6', 'v6']}  # as real ones may be
    folds = official_folds(annotations, val_fraction=0)
    assert folds.folds[1] == {'train': ['v0', 'v2', 'v3'], 'val': [], 'test': ['v1', 'v6']}
    assert len(folds.warnings) == 2 and '1 image of fold 1 ' in folds.warnings[1]
    with pytest.raises(ValueError, match=r'metainfo.folds'):
        official_folds({'metainfo': {}, 'data_list': entries})


BASE = [entry('v0', 'a', 'p0'), entry('v1', 'b', 'p1'), entry('v2', 'a', 'p0')]


@pytest.mark.parametrize(
    ('fold', 'message'),
    [
        ({'train': ['v0'], 'val': [], 'test': ['v2']}, r"patient 'p0' .*train .*test of fold 0"),
        ({'train': ['v1'], 'val': ['v0'], 'test': ['v2']}, r"patient 'p0' .*val .*test of fold 0"),
        ({'train': ['v0'], 'val': [], 'test': ['v0']}, r"video 'v0' .*train .*test of fold 0"),
        ({'train': ['v0'], 'val': [], 'test': []}, 'fold 0 .*test'),
        ({'train': [], 'val': [], 'test': ['v0']}, 'fold 0 .*train'),
        ({'train': ['v0'], 'val': [], 'test': ['v9']}, "fold 0 .*'v9'"),
    ],
)
def test_check_names_what_is_wrong(fold, message):
    with pytest.raises(ValueError, match=message):
        check_folds(Folds([fold]), BASE)


def test_a_leak_that_was_asked_for_passes_but_a_video_twice_does_not():
    fold = {'train': ['v0'], 'val': [], 'test': ['v2']}
    check_folds(Folds([fold], group_by='video'), BASE)
    with pytest.raises(ValueError, match=r"^video 'v0' .*train .*test "):
        check_folds(Folds([{'train': ['v0'], 'val': [], 'test': ['v0']}], group_by='video'), BASE)


def test_files(tmp_path):
    folds = make_folds(random_entries(3), 3)
    write_folds(tmp_path / 'x' / 'folds.json', folds)
    assert read_folds(tmp_path / 'x' / 'folds.json') == folds
    with pytest.raises(FileNotFoundError, match=r'nope.json'):
        read_folds(tmp_path / 'nope.json')
    (tmp_path / 'bad.json').write_text('{"kind": "other", "folds": []}')
    with pytest.raises(ValueError, match=r'bad.json'):
        read_folds(tmp_path / 'bad.json')
    with pytest.raises(ValueError, match=r'fold should be from 0 to 2, got 3'):
        folds.sides(3)


@pytest.mark.parametrize('group_by', ['patient', 'video'])
def test_the_inner_validation_leaves_every_class_in_training(group_by):
    """One video a patient, few of a class: some of each must be left to train on."""
    entries = [entry(f'a{k}', 'a', f'a{k}', frames=1) for k in range(6)]
    entries += [entry(f'b{k}', 'b', f'b{k}', frames=1) for k in range(3)]
    label = {e['video_id']: e['label'] for e in entries}
    for fold in make_folds(entries, 3, 0, group_by, val_fraction=0.75).folds:
        assert {label[name] for name in fold['train']} == {'a', 'b'}


def test_an_inner_validation_in_every_fold_or_in_none():
    entries = [entry(f'a{p}{v}', 'a', f'a{p}') for p in range(3) for v in range(2)]
    entries += [entry(f'b{p}{v}', 'b', f'b{p}') for p in range(2) for v in range(2)]
    for seed in range(6):
        folds = make_folds(entries, 2, seed)
        assert len({bool(fold['val']) for fold in folds.folds}) == 1
        assert any('no fold has one' in note for note in folds.warnings) == (not folds.folds[0]['val'])


def test_split_columns_are_checked_for_classes_and_patients():
    entries = [entry(f'v{k}', 'ab'[k % 2], f'p{k}', 'train') for k in range(4)] + [entry('c', 'c', 'c', 'test')]
    message = r"^fold 0 .*'c' .*a 2, b 2, c 1"
    with pytest.raises(ValueError, match=message):
        folds_of_splits(entries)
    unknown = [entry(f'v{k}', 'ab'[k % 2], None, 'train' if k < 4 else 'test') for k in range(6)]
    assert '6 of 6 videos without a patient id' in folds_of_splits(unknown).warnings[0]
    one = [entry('v0', 'a', 'p0', 'train'), entry('v1', 'a', 'p1', 'train'), entry('v2', 'b', 'p2', 'test')]
    with pytest.raises(ValueError, match=r"fold 0 .*'a'"):
        folds_of_splits(one)


def test_a_class_that_a_fold_would_not_train_on_is_an_error():
    """Class c is in two patients, who are put into one test part: whoever tests it has never seen it."""
    entries = [entry(f'{label}{k}', label, f'{label}{k}') for label in 'ab' for k in range(4)]
    entries += [entry('c0', 'c', 'c0'), entry('c1', 'c', 'c1')]
    names = [e['video_id'] for e in entries]
    fold = {'train': names[:3] + names[4:7], 'val': [], 'test': [names[3], names[7], 'c0', 'c1']}
    message = r"^fold 1 .*'c' .*a 4, b 4, c 2"
    good = {'train': [*names[:3], *names[4:7], 'c1'], 'val': [], 'test': [names[3], names[7], 'c0']}
    with pytest.raises(ValueError, match=message):
        check_folds(Folds([good, fold]), entries)
    in_val = {**good, 'train': good['train'][:-1], 'val': ['c1']}  # to select on is not to train on
    with pytest.raises(ValueError, match=r"^fold 0 .*'c'"):
        check_folds(Folds([in_val]), entries)
    check_folds(Folds([good]), entries)
    given = {'metainfo': {'folds': [good, fold]}, 'data_list': entries}
    with pytest.raises(ValueError, match=message):
        official_folds(given, val_fraction=0)


def test_a_class_that_a_fold_does_not_test_on_is_a_remark():
    entries = [entry(f'{s}{k}', 'abc'[k % 3], f'{s}{k}', s) for s in ('train', 'test') for k in range(6)]
    entries = [e for e in entries if e['split'] == 'train' or e['label'] != 'c']
    notes = folds_of_splits(entries).warnings
    assert [note for note in notes if note.startswith('Fold 0 does not test on c: ')]
    pooled = [{'train': ['v0', 'v1', 'v2', 'v3'], 'test': ['v4', 'v5']}, {'train': ['v1', 'v4', 'v5'], 'test': ['v0']}]
    given = {'metainfo': {'folds': pooled}, 'data_list': [entry(f'v{k}', 'ab'[k % 2]) for k in range(6)]}
    assert any(note.startswith('Fold 1 does not test on b: ') for note in official_folds(given, 0, 0).warnings)


@pytest.mark.parametrize('seed', range(8))
def test_the_inner_validation_never_takes_a_whole_class(seed):
    """A class whose patients have more videos of another class counts for that one when patients are held back."""
    entries = [entry(f'P{p}{k}', 'a' if k else 'c', f'P{p}') for p in range(2) for k in range(3)]
    entries += [entry(f'{label}{k}', label, f'{label}{k}') for label in 'ab' for k in range(3)]
    label = {e['video_id']: e['label'] for e in entries}
    folds = make_folds(entries, 2, seed, val_fraction=0.5)
    assert all({label[name] for name in fold['train']} == set('abc') for fold in folds.folds)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('val_fraction', [0, 0.2, 0.5])
def test_a_final_fold_tests_on_nothing_and_leaves_nobody_out(seed, val_fraction):
    entries = [*random_entries(seed), entry('unlabelled', None, 'p')]
    folds = final_fold(entries, seed, val_fraction)
    (fold,) = folds.folds
    group = {e['video_id']: group_of(e) for e in entries}
    assert sorted(fold['train'] + fold['val']) == sorted(set(group) - {'unlabelled'}) and not fold['test']
    sides = [{group[name] for name in fold[side]} for side in ('train', 'val')]
    assert not sides[0] & sides[1] and bool(fold['val']) == bool(val_fraction)
    assert {name[0] for name in fold['train']} == set('abc')
    with pytest.raises(ValueError, match='nothing to test'):
        check_folds(folds, entries)
    check_folds(folds, entries, needed=('train',))


def test_a_final_fold_of_single_patients_holds_nobody_back():
    entries = [entry('v', 'a', 'p'), entry('w', 'b', 'q')]
    assert final_fold(entries).folds == [{'train': ['v', 'w'], 'val': [], 'test': []}]


@pytest.mark.parametrize(('labels', 'text'), [((None, None), 'no video has a label'), (('a', 'a'), "'a'")])
def test_a_final_fold_needs_two_classes(labels, text):
    with pytest.raises(ValueError, match=text):
        final_fold([entry(name, label) for name, label in zip('vw', labels, strict=True)])
