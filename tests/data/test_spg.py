"""What SPG draws and computes, against its equations, and against the registered transforms that use it."""

import numpy as np
import pytest

from uscl.data.spg import draw_frames, draw_ratios, draw_spaced_frames, positive_pair
from uscl_plugin.datasets.transforms import MixFrames, SampleSpacedFrames, SampleVideoFrames


def test_frames_are_distinct_in_time_order_and_uniform():
    rng = np.random.default_rng(0)
    drawn = np.array([draw_frames(5, 3, rng) for _ in range(4000)])
    assert (np.diff(drawn) > 0).all() and drawn.min() == 0 and drawn.max() == 4
    share = np.bincount(drawn.ravel(), minlength=5) / len(drawn)  # each frame is in 3 of 5 triples
    np.testing.assert_allclose(share, 0.6, atol=0.03)
    assert draw_frames(2, 3, rng).tolist() == [0, 1] and draw_frames(1, 3, rng).tolist() == [0]


def test_spaced_frames_have_every_pair_of_distances_as_often():
    """Of five frames: six pairs of distances, each with as many first frames as fit."""
    rng = np.random.default_rng(0)
    counts = {}
    for _ in range(6000):
        i, j, k = draw_spaced_frames(5, rng).tolist()
        assert 0 <= i < j < k <= 4
        counts.setdefault((j - i, k - i), {}).setdefault(i, []).append(1)
    assert len(counts) == 6
    for (_, last), by_first in counts.items():
        assert set(by_first) == set(range(5 - last))
        for times in by_first.values():
            assert abs(len(times) - 1000 / (5 - last)) < 5 * np.sqrt(1000 / (5 - last))


def test_spaced_frames_of_short_and_very_long_videos():
    rng = np.random.default_rng(0)
    assert [draw_spaced_frames(count, rng).tolist() for count in (1, 2, 3)] == [[0], [0, 1], [0, 1, 2]]
    drawn = np.array([draw_spaced_frames(5000, rng) for _ in range(300)])
    assert (drawn[:, 2] - drawn[:, 0]).max() <= 999 < drawn.max()
    np.random.seed(3)
    expected = draw_spaced_frames(20)
    np.random.seed(3)
    assert SampleSpacedFrames()(dict(frames=[0] * 20))['frame_inds'].tolist() == expected.tolist()


def test_ratios_are_beta_and_apart_or_shared():
    rng = np.random.default_rng(0)
    ratios = np.array([draw_ratios(0.5, 0.5, False, rng) for _ in range(4000)])
    np.testing.assert_allclose(ratios.mean(0), 0.5, atol=0.02)
    np.testing.assert_allclose(ratios.var(0), 1 / 8, atol=0.01)  # ab / ((a+b)² (a+b+1))
    assert abs(np.corrcoef(ratios.T)[0, 1]) < 0.05
    first, second = draw_ratios(0.5, 0.5, True, rng)
    assert first == second


@pytest.mark.parametrize('count', [1, 2, 3])
def test_pair_by_its_equation(count):
    frames = list(np.random.default_rng(count).integers(0, 256, (count, 4, 5, 3), np.uint8))
    pair = positive_pair(frames, (0.25, 0.75))
    if count < 3:
        assert pair[0] is frames[0] and pair[1] is frames[-1]
    else:
        first, anchor, third = (frame.astype(float) for frame in frames)
        np.testing.assert_allclose(pair[0], 0.25 * first + 0.75 * anchor, rtol=1e-6)
        np.testing.assert_allclose(pair[1], 0.75 * third + 0.25 * anchor, rtol=1e-6)


def test_transforms_draw_the_same_from_the_global_generator():
    frames = list(np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), np.uint8))
    np.random.seed(3)
    inds = SampleVideoFrames()(dict(frames=frames))['frame_inds']
    mixed = MixFrames()(dict(imgs=[frames[k] for k in inds]))
    rng = np.random.RandomState(3)
    chosen = draw_frames(9, 3, rng)
    expected = positive_pair([frames[k] for k in chosen], draw_ratios(rng=rng))
    assert inds.tolist() == chosen.tolist()
    np.testing.assert_array_equal(mixed['img'], expected)
