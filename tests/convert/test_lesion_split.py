from collections import Counter
from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uscl.convert.lesions import lesion_split


def hold_back(keys, strata, patients, count, seed):
    held = lesion_split.hold_back(list(zip(keys, strata, patients, strict=True)), count, seed)
    return [key in held for key in keys]


def assign_folds(keys, strata, patients, folds, seed):
    fold_of = lesion_split.assign_folds(list(zip(keys, strata, patients, strict=True)), folds, seed)
    return [fold_of[key] for key in keys]


def expand(*counts: dict):
    """Keys, strata and patients of images: one dict of class counts a patient."""
    rows = [
        (f'{i}/{name}{k}', name, f'p{i}')
        for i, classes in enumerate(counts)
        for name, count in classes.items()
        for k in range(count)
    ]
    return tuple(map(list, zip(*rows, strict=True)))


def sides(patients, held):
    return [{p for p, h in zip(patients, held, strict=True) if h is side} for side in (True, False)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(1, 40), st.integers(0, 3))
def test_nearest_number_that_whole_patients_allow(sizes, count, seed):
    keys, strata, patients = expand(*({'a': size} for size in sizes))
    count = min(count, len(keys) - 1)
    sums = {sum(subset) for k in range(1, len(sizes)) for subset in combinations(sizes, k)}
    held = hold_back(keys, strata, patients, count, seed)
    assert abs(sum(held) - count) == min(abs(total - count) for total in sums)
    inside, outside = sides(patients, held)
    assert inside and outside and not inside & outside


def test_classes_are_balanced_over_patients():
    keys, strata, patients = expand(*[{'benign': 4}] * 6, *[{'malignant': 4}] * 3, *[{'normal': 4}] * 3)
    for seed in range(5):
        held = hold_back(keys, strata, patients, 16, seed)
        assert Counter(s for s, h in zip(strata, held, strict=True) if h) == dict(benign=8, malignant=4, normal=4)


def test_images_without_patient_fill_up():
    keys, strata, patients = expand({'a': 7}, {'a': 7})
    patients[-3:] = [None] * 3
    held = hold_back(keys, strata, patients, 9, 0)
    assert sum(held) == 9
    inside, outside = sides(patients, held)
    assert not (inside & outside) - {None}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.data())
def test_exact_and_proportional_without_patients(sizes, data):
    keys, strata, _ = expand({f'c{i}': size for i, size in enumerate(sizes)})
    total = len(keys)
    if total < 2:
        return
    count = data.draw(st.integers(1, total - 1))
    held = hold_back(keys, strata, [None] * total, count, 0)
    assert sum(held) == count
    for name, size in Counter(strata).items():
        chosen = sum(h for h, stratum in zip(held, strata, strict=True) if stratum == name)
        assert abs(chosen - size * count / total) < 1


def test_udiat_numbers():
    keys, strata, patients = expand({'benign': 110, 'malignant': 53})
    held = hold_back(keys, strata, [None] * 163, 50, 0)
    assert Counter(s for s, h in zip(strata, held, strict=True) if h) == dict(benign=34, malignant=16)
    with pytest.raises(ValueError, match=r'all images are of one patient'):
        hold_back(keys, strata, patients, 50, 0)


@pytest.mark.parametrize('with_patients', [False, True])
def test_seed_decides_and_order_does_not(with_patients):
    keys, strata, patients = expand(*[{'a': 2, 'b': 1}] * 12)
    patients = patients if with_patients else [None] * len(keys)

    def chosen(order, seed):
        held = hold_back(*([column[i] for i in order] for column in (keys, strata, patients)), 9, seed)
        return {keys[i] for i, h in zip(order, held, strict=True) if h}

    there, back = range(len(keys)), range(len(keys) - 1, -1, -1)
    assert chosen(there, 0) == chosen(there, 0) == chosen(back, 0)
    assert len({frozenset(chosen(there, seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize('count', [0, 4, 5])
def test_count_out_of_range(count):
    with pytest.raises(ValueError, match=f'{count} of 4 images'):
        hold_back(*expand({'a': 2}, {'a': 2}), count, 0)


@pytest.mark.parametrize('seed', [0, 1])
def test_folds_by_patient(seed):
    keys, strata, patients = expand(*[{'benign': 4, 'normal': 1}] * 10, *[{'malignant': 4, 'normal': 1}] * 5)
    folds = assign_folds(keys, strata, patients, 5, seed)
    assert folds == assign_folds(keys, strata, patients, 5, seed)
    assert all(len({f for f, p in zip(folds, patients, strict=True) if p == patient}) == 1 for patient in patients)
    for fold in range(5):
        counts = Counter(s for s, f in zip(strata, folds, strict=True) if f == fold)
        assert counts == dict(benign=8, malignant=4, normal=3)


def test_folds_without_patients():
    keys, strata, _ = expand({'a': 20, 'b': 10})
    patients = [None] * 30
    folds = assign_folds(keys, strata, patients, 5, 0)
    assert all(
        Counter(zip(folds, strata, strict=True))[k, name] == n for k in range(5) for name, n in (('a', 4), ('b', 2))
    )
    assert folds == assign_folds(keys, strata, patients, 5, 0) != assign_folds(keys, strata, patients, 5, 1)


@pytest.mark.parametrize('with_patients', [False, True])
def test_another_seed_gives_other_folds_and_another_order_does_not(with_patients):
    keys, strata, patients = expand(*[{'a': 2, 'b': 1}] * 12)
    patients = patients if with_patients else [None] * len(keys)
    folds = assign_folds(keys, strata, patients, 4, 0)
    assert folds != assign_folds(keys, strata, patients, 4, 1)
    assert folds[::-1] == assign_folds(keys[::-1], strata[::-1], patients[::-1], 4, 0)


@pytest.mark.parametrize('known', [True, False])
def test_too_many_folds(known):
    keys, strata, patients = expand({'a': 2}, {'b': 2}, {'c': 2})
    who = 'patients' if known else 'images'
    with pytest.raises(ValueError, match=rf'{who} with these classes cannot fill 7 folds: ask for fewer'):
        assign_folds(keys, strata, patients if known else [None] * 6, 7, 0)
    with pytest.raises(ValueError, match=r'cannot fill 4 folds'):  # no class has four members
        assign_folds(keys, strata, [None] * 6, 4, 0)
