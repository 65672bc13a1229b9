import pytest

from instruments.spread import Spread, paired_ratios


def test_spread_of_repeats():
    assert Spread.of([4.0, 1.0, 3.0, 2.0]) == Spread(2.5, 1.0, 4.0, (4.0, 1.0, 3.0, 2.0))


def test_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians():
    """By hand: pairs 10/2, 90/30, 12/6, 40/10, 7/7 are 5, 3, 2, 4, 1; the medians' ratio would be 12/7."""
    found = paired_ratios([10, 90, 12, 40, 7], [2, 30, 6, 10, 7])
    assert found == Spread(3.0, 1.0, 5.0, (5.0, 3.0, 2.0, 4.0, 1.0))


def test_unequal_numbers_of_repeats_have_no_pairs():
    with pytest.raises(ValueError, match='zip'):
        paired_ratios([1, 2], [1])
