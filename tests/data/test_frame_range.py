import pytest

from uscl.data.frame_range import frames_in_range

BOUNDS = [(a / 20, b / 20) for a in range(20) for b in range(a + 1, 21)] + [
    (0.07, 1.0),
    (0.0, 0.07),
    (0.1, 0.3),
    (1 / 3, 2 / 3),
]


@pytest.mark.parametrize('bounds', BOUNDS)
def test_the_rule_for_every_frame(bounds):
    a, b = bounds
    for n in range(1, 120):
        expected = [k for k in range(n) if a <= k / n < b]
        found = frames_in_range(n, bounds)
        if expected:
            assert list(found) == expected, n
        else:
            distance = [max(a - k / n, k / n - b, 0) for k in range(n)]
            assert list(found) == [distance.index(min(distance))], n


def test_neighbouring_parts_share_no_frame_and_miss_none():
    for n in range(20, 200):
        parts = [list(frames_in_range(n, bounds)) for bounds in ((0.0, 0.1), (0.1, 0.7), (0.7, 0.75), (0.75, 1.0))]
        assert [k for part in parts for k in part] == list(range(n)), n


def test_the_whole_video_and_a_product_that_rounds_up():
    assert frames_in_range(5, (0.0, 1.0)) == range(5)
    assert frames_in_range(100, (0.07, 1.0))[0] == 7  # 0.07 * 100 is above 7 in floating point


@pytest.mark.parametrize(
    'n, bounds, only',
    [(1, (0.75, 1.0), 0), (2, (0.75, 1.0), 1), (3, (0.75, 1.0), 2), (2, (0.1, 0.2), 0), (2, (0.3, 0.4), 1)],
)
def test_an_empty_part_gives_the_nearest_frame(n, bounds, only):
    assert list(frames_in_range(n, bounds)) == [only]


@pytest.mark.parametrize(
    'bounds',
    [(0.5, 0.5), (0.6, 0.5), (-0.1, 0.5), (0.0, 1.1), (float('nan'), 1.0), (0.0, float('nan')), (0.5,), None, 'ab'],
)
def test_impossible_parts_are_refused_by_name(bounds):
    with pytest.raises(ValueError, match='frame_range'):
        frames_in_range(10, bounds)


@pytest.mark.parametrize('n', [0, -1])
def test_a_video_without_frames_is_refused(n):
    with pytest.raises(ValueError, match=f'n={n}'):
        frames_in_range(n, (0.0, 1.0))
