import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uscl.data.selection import stratified_subset

KEYS = [f'video{i}' for i in range(200)]
STRATA = ['rare' if i % 50 == 0 else f'class{i % 3}' for i in range(200)]


@pytest.mark.parametrize('fraction', [0.01, 0.1, 0.5, 1.0])
def test_share_of_every_stratum_at_least_one(fraction):
    chosen = stratified_subset(KEYS, STRATA, fraction, seed=3)
    for stratum in set(STRATA):
        size = STRATA.count(stratum)
        expected = max(1, int(fraction * size + 0.5))
        assert sum(STRATA[i] == stratum for i in chosen) == expected


@given(a=st.floats(0, 1), b=st.floats(0, 1), seed=st.integers(0, 50))
def test_nested_for_one_seed(a, b, seed):
    small, large = sorted([a, b])
    assert set(stratified_subset(KEYS, STRATA, small, seed)) <= set(stratified_subset(KEYS, STRATA, large, seed))


def test_zero_takes_nothing_and_one_takes_all():
    assert stratified_subset(KEYS, STRATA, 0.0) == []
    assert stratified_subset(KEYS, STRATA, 1.0) == list(range(200))


def test_seed_changes_the_choice_and_every_video_is_as_likely():
    counts = np.zeros(200)
    for seed in range(400):
        counts[stratified_subset(KEYS, ['same'] * 200, 0.25, seed)] += 1
    assert abs(counts - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)  # five standard deviations


def test_order_of_the_input_does_not_matter():
    chosen = {KEYS[i] for i in stratified_subset(KEYS, STRATA, 0.2, 1)}
    backwards = stratified_subset(KEYS[::-1], STRATA[::-1], 0.2, 1)
    assert {KEYS[::-1][i] for i in backwards} == chosen


@pytest.mark.parametrize('fraction', [-0.1, 1.1, float('nan'), 2])
def test_fraction_outside_is_an_error(fraction):
    with pytest.raises(ValueError, match=r'fraction .*\[0, 1\]'):
        stratified_subset(KEYS, STRATA, fraction)
