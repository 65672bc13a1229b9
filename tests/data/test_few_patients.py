"""Training parts of a few patients."""

from dataclasses import replace
from itertools import pairwise

import pytest

from uscl.data.few_patients import limit_patients
from uscl.data.fold_making import make_folds

# 24 patients with three videos each; every fourth patient has a video of the other class.
ENTRIES = [
    {'video_id': f'p{p}/v{v}', 'label': 'ab'[(p + (v == 2 and p % 4 == 0)) % 2], 'patient_id': f'p{p}', 'split': None}
    for p in range(24)
    for v in range(3)
]
LABEL, PATIENT = ({entry['video_id']: entry[key] for entry in ENTRIES} for key in ('label', 'patient_id'))


def patients(fold, label):
    return {PATIENT[name] for name in fold['train'] if LABEL[name] == label}


@pytest.mark.parametrize('number', [1, 2, 4])
@pytest.mark.parametrize('seed', [0, 3])
def test_so_many_patients_of_each_class_and_the_same_test_part(number, seed):
    folds = make_folds(ENTRIES, 3, seed)
    limited = limit_patients(folds, ENTRIES, number)
    for whole, fold in zip(folds.folds, limited.folds, strict=True):
        assert fold['test'] == whole['test'] and fold['val'] == []
        assert all(len(patients(fold, label)) == number for label in 'ab')
        allowed = {*whole['train'], *whole['val']}
        for label in 'ab':  # all videos of the class that these patients have
            own = {name for name in allowed if LABEL[name] == label and PATIENT[name] in patients(fold, label)}
            assert own == {name for name in fold['train'] if LABEL[name] == label}
        assert not {PATIENT[name] for name in fold['train']} & {PATIENT[name] for name in fold['test']}


def test_few_are_part_of_more_and_all_are_all():
    folds = make_folds(ENTRIES, 3, 0)
    parts = [limit_patients(folds, ENTRIES, number).folds for number in (1, 2, 4, 8, 100)]
    for fewer, more in pairwise(parts):
        assert all(set(one['train']) <= set(other['train']) for one, other in zip(fewer, more, strict=True))
    for whole, fold in zip(folds.folds, parts[-1], strict=True):
        assert set(fold['train']) == {*whole['train'], *whole['val']}


def test_other_seeds_take_other_patients():
    folds = (limit_patients(make_folds(ENTRIES, 3, seed), ENTRIES, 2).folds[0] for seed in range(5))
    assert len({tuple(sorted(fold['train'])) for fold in folds}) > 2


def test_the_seed_chooses_also_where_the_folds_are_the_same():
    folds = make_folds(ENTRIES, 3, 0)
    chosen = {tuple(limit_patients(replace(folds, seed=seed), ENTRIES, 2).folds[0]['train']) for seed in range(5)}
    assert len(chosen) > 2


def test_no_patients_are_refused():
    with pytest.raises(ValueError, match='at least 1'):
        limit_patients(make_folds(ENTRIES, 3, 0), ENTRIES, 0)
