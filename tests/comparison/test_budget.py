"""Equal views and steps, whatever the method."""

import math

import pytest

from uscl_plugin.comparison.budget import affordable_epochs, match_budget


@pytest.mark.parametrize('epochs', [1, 7, 50, 300])
@pytest.mark.parametrize('videos', [20, 252, 1051])
@pytest.mark.parametrize(
    ('used', 'views', 'samples'),
    [(1.0, 2, 1), (1.0, 2, 10), (1.0, 1, 2), (0.01, 1, 2), (0.5, 2, 1), (1.0, 4, 1), (1.0, 5, 1)],
)
def test_views_and_steps_are_those_of_uscl(epochs, videos, used, views, samples):
    used_videos = max(2, round(used * videos))
    budget = match_budget(epochs, 32, videos, used_videos, views, samples)
    assert budget.items == used_videos * budget.samples_per_video
    assert budget.views == budget.items * views * budget.epochs
    assert budget.batch_size == 64 // views  # 12 items of five views
    if views > 2 and epochs == 1:  # more views than wanted, as less than an epoch cannot be trained
        assert budget.epochs == 1
        return
    assert abs(budget.views - 2 * videos * epochs) <= budget.items * views / 2  # half an epoch
    steps, expected = budget.epochs * math.ceil(budget.items / budget.batch_size), epochs * math.ceil(videos / 32)
    steps *= budget.batch_size * views / 64  # those of 60 views are more
    # Besides, the last batch of every epoch may be a part: of those of USCL, and of its own.
    assert abs(steps - expected) <= epochs + budget.epochs + budget.items / budget.batch_size / 2
    if used == 1 and 2 * epochs % (views * samples) == 0:
        assert budget.views == 2 * videos * epochs


def test_the_method_of_the_paper_is_left_alone():
    budget = match_budget(300, 32, 840, 840, 2, 1)
    assert (budget.epochs, budget.samples_per_video, budget.batch_size, budget.items) == (300, 1, 32, 840)


@pytest.mark.parametrize('position', range(6))
def test_numbers_below_one(position):
    numbers = [10, 32, 100, 100, 2, 1]
    numbers[position] = 0
    with pytest.raises(ValueError, match='at least 1'):
        match_budget(*numbers)


@pytest.mark.parametrize(('pairs', 'views', 'expected'), [(4, 5, 2), (1, 2, 1), (2, 4, 2), (6, 5, 2), (8, 5, 3)])
def test_a_small_batch_has_two_items_for_negatives_unless_there_is_one_pair(pairs, views, expected):
    assert match_budget(10, pairs, 100, 100, views, 1).batch_size == expected


@pytest.mark.parametrize('seconds', [30.0, 400.0, 5000.0])
@pytest.mark.parametrize('per_epoch', [0.5, 7.0])
def test_epochs_fit_and_one_more_would_not(seconds, per_epoch):
    fixed, most = 20.0, 300
    epochs = affordable_epochs(seconds, fixed, per_epoch, most)
    assert epochs == 1 or fixed + epochs * per_epoch <= seconds
    assert epochs == most or fixed + (epochs + 1) * per_epoch > seconds
    assert math.isclose(epochs, int(epochs))
