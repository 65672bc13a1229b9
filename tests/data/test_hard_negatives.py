"""Anchor, positive and negatives of UCL, against the rule written out frame by frame."""

import math

import numpy as np
import pytest

from uscl.data.hard_negatives import draw_hard_negatives, negative_frames, negative_range


@pytest.mark.parametrize(('epoch', 'far'), [(0, 0.4), (29, 0.4), (30, 0.4), (35, 0.344), (40, 0.135), (45, 0.010)])
@pytest.mark.parametrize('scale', [1, 5])
def test_the_curriculum_of_sixty_epochs_fits_any_run(epoch, far, scale):
    """Each stage shrinks what the stage before has left; the values are those of the authors' schedule."""
    for step in (0, scale - 1):
        near, found = negative_range((scale * epoch + step) / (60 * scale))
        assert found == pytest.approx(far, abs=5e-4) and near == pytest.approx(found / 2)


def slow_range(epoch):
    near, far = 0.2, 0.4
    for e in range(30, epoch + 1):
        near, far = (x * 0.5 * (1 + math.cos(math.pi * (e - 30) / 30)) for x in (near, far))
    return near, far


def slow_negatives(count, anchor, epoch):
    low, high = slow_range(epoch)
    left = (max(0, min(anchor - int(high * count), anchor - 6)), max(0, min(anchor - int(low * count), anchor - 4)))
    right = (
        min(count, max(anchor + int(low * count), anchor + 4)),
        min(count, max(anchor + math.ceil(high * count), anchor + 6)),
    )
    return [k for k in range(count) if left[0] <= k < left[1] or right[0] <= k < right[1]]


@pytest.mark.parametrize('epoch', [0, 29, 33, 37, 42, 59])
def test_negatives_are_those_of_the_rule(epoch):
    for count in range(1, 130):
        for anchor in range(math.ceil(0.2 * count), math.ceil(0.5 * count)):
            assert negative_frames(count, anchor, epoch / 60) == slow_negatives(count, anchor, epoch), (count, anchor)


@pytest.mark.parametrize('progress', [0.0, 0.6, 0.99])
def test_draws_keep_to_the_rule_and_reach_all_of_it(progress):
    rng = np.random.default_rng(0)
    count, seen = 50, set()
    for _ in range(2000):
        anchor, positive, *negatives = draw_hard_negatives(count, progress, 3, rng).tolist()
        assert 10 <= anchor < 25 and 0 < abs(positive - anchor) <= 3
        allowed = negative_frames(count, anchor, progress)
        assert len(negatives) == 3 and set(negatives) <= set(allowed)
        seen |= {('anchor', anchor), ('positive', positive - anchor)}
        seen |= {('negative', k) for k in negatives} if anchor == 17 else set()
    assert {k for kind, k in seen if kind == 'anchor'} == set(range(10, 25))
    assert {k for kind, k in seen if kind == 'positive'} == {-3, -2, -1, 1, 2, 3}
    assert {k for kind, k in seen if kind == 'negative'} == set(negative_frames(count, 17, progress))


@pytest.mark.parametrize('count', range(1, 9))
def test_short_videos_have_copies_of_the_anchor_as_negatives(count):
    rng = np.random.default_rng(0)
    for _ in range(50):
        anchor, positive, *negatives = draw_hard_negatives(count, 0.0, 3, rng).tolist()
        assert all(0 <= k < count for k in (anchor, positive, *negatives))
        assert (positive == anchor) == (count == 1)
        is_short = negatives == [anchor] * 3
        assert is_short if count < 7 else count == 7 or not is_short
        assert is_short or all(abs(k - anchor) >= 4 for k in negatives)
