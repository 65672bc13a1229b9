"""When the frames of a DICOM file were taken, by elements that may be missing, wrong or contradict each other."""

from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING

from .dicom_header import frame_count, number_of, value_of

if TYPE_CHECKING:
    from pydicom import Dataset

TIMING = ('FrameIncrementPointer', 'FrameTime', 'FrameTimeVector', 'CineRate', 'RecommendedDisplayFrameRate')
_VECTOR = 0x00181065  # FrameTimeVector
_BELIEVED = (0.1, 5000.0)  # frames per second; outside, a time was not written in milliseconds
_CONTRADICTION = 10.0  # clips may be played slower or faster than they were taken, but not by this factor


def frame_times(elements: 'Dataset') -> tuple[list[float] | None, float | None, list[str]]:
    """When the frames were taken, according to the file.

    The first of these elements with a rate between 0.1 and 5000 frames per second counts: FrameTimeVector if
    FrameIncrementPointer points to it, then FrameTime, FrameTimeVector, CineRate, RecommendedDisplayFrameRate. A vector
    may lack its first step, which is not used, or have too many steps.

    Returns:
        The time of every frame in seconds, or None if one rate holds for all; the (mean) rate in frames per second, or
        None if the file states none; and what had to be assumed: ``frame rate`` if it states none, ``frame rate by
        KEYWORD`` if elements contradict each other by a factor of 10 or the vector has the wrong length.
    """
    count = frame_count(elements)
    steps = _vector(elements)
    times = _add_up(steps, count)
    rates = {keyword: number_of(elements, keyword) or 0 for keyword in ('CineRate', 'RecommendedDisplayFrameRate')}
    pointer = value_of(elements, 'FrameIncrementPointer')
    is_vector_first = _VECTOR in ([pointer] if isinstance(pointer, int) else pointer or [])
    by_time = {'FrameTime': 1000 / (number_of(elements, 'FrameTime') or inf)}
    by_vector = {'FrameTimeVector': (count - 1) / times[-1] if times else 0}
    rates = (by_vector | by_time if is_vector_first else by_time | by_vector) | rates
    rates = {keyword: rate for keyword, rate in rates.items() if rate > 0}
    chosen = next((keyword for keyword, rate in rates.items() if _BELIEVED[0] <= rate <= _BELIEVED[1]), None)
    if chosen is None:
        return None, None, ['frame rate']
    is_vector = chosen == 'FrameTimeVector'
    is_contradicted = max(rates.values()) >= _CONTRADICTION * min(rates.values())
    is_assumed = is_contradicted or (is_vector and len(steps) != count)
    return times if is_vector else None, rates[chosen], [f'frame rate by {chosen}'] if is_assumed else []


def _vector(elements: 'Dataset') -> list[float]:
    """The steps of FrameTimeVector in seconds; empty if one of them is not a number."""
    value = value_of(elements, 'FrameTimeVector')
    try:
        return [float(step) / 1000 for step in (value if hasattr(value, '__len__') else [value])]
    except (TypeError, ValueError):
        return []


def _add_up(steps: list[float], count: int) -> list[float] | None:
    """Times of the frames, from 0; None if the steps do not fit ``count`` frames."""
    between = steps if len(steps) == count - 1 else steps[1:count]
    if not between or len(between) != count - 1 or not all(0 <= step < inf for step in between) or not any(between):
        return None
    return list(accumulate(between, initial=0.0))
