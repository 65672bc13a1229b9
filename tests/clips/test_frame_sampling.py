import math
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from uscl.clips.frame_sampling import FrameSampler, bucket_of, next_time

TICK = 1 / 90000


@given(
    st.lists(st.integers(0, 10 * 90000), min_size=1, max_size=40, unique=True).map(sorted),
    st.integers(1, 12),
)
def test_buckets_match_exact_arithmetic(ticks, fps):
    eps = Fraction(1, 180000)
    expected = [math.floor((Fraction(t - ticks[0], 90000) + eps) * fps) for t in ticks]
    assert [bucket_of(t * TICK, ticks[0] * TICK, fps, TICK) for t in ticks] == expected


def first_of_every_bucket(times, fps, time_base):
    buckets = [bucket_of(t, times[0], fps, time_base) for t in times]
    return [i for i, bucket in enumerate(buckets) if i == 0 or bucket != buckets[i - 1]]


def test_thirty_frames_a_second_keep_every_tenth():
    assert first_of_every_bucket([i / 30 for i in range(41)], 3, TICK) == [0, 10, 20, 30, 40]


def test_times_rounded_to_milliseconds_keep_the_same_frames():
    assert first_of_every_bucket([round(i / 30, 3) for i in range(41)], 3, 0.001) == [0, 10, 20, 30, 40]


def test_a_sampler_says_which_frames_it_kept():
    times = [round(i / 30, 3) for i in range(41)]
    sampler = FrameSampler(3, 0.001, 1 / 30)
    assert [i for i, time in enumerate(times) if sampler.keeps(time)] == sampler.places == [0, 10, 20, 30, 40]
    assert sampler.times == [times[i] for i in sampler.places]


def test_coarse_clock_is_taken_literally():
    # 24 / 25 s lies before the second interval's end at 1 s; half a tick (20 ms) more would not change that,
    # but 8 / 25 = 0.32 s must stay in the first interval although 0.34 s would not.
    assert first_of_every_bucket([i / 25 for i in range(26)], 3, 1 / 25) == [0, 9, 17, 25]


def test_clock_need_not_start_at_zero():
    assert bucket_of(100.4, 100.0, 3, TICK) == 1


@given(st.lists(st.none() | st.floats(-1000, 1000), min_size=2, max_size=50))
def test_times_always_advance(stamps):
    times = []
    for stamp in stamps:
        times.append(next_time(stamp, times[-1] if times else None, 0.04))
    assert all(after > before for before, after in pairwise(times))


@given(st.lists(st.floats(-1000, 1000), min_size=2, max_size=50, unique=True).map(sorted))
def test_good_stamps_are_kept(stamps):
    time = None
    for stamp in stamps:
        time = next_time(stamp, time, 0.04)
        assert time == stamp


def test_missing_stamp_takes_one_frame_period():
    assert next_time(None, 2.0, 0.25) == 2.25
    assert next_time(None, None, 0.25) == 0.0
