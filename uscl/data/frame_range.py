"""Which frames of a video fall into a part of its duration, and which are held out at its end."""

from bisect import bisect_left
from functools import lru_cache

HELD_OUT_FRACTION = 0.25


def frames_in_range(n: int, frame_range: tuple[float, float]) -> range:
    """Indices of the frames of a video that fall into a part of its duration.

    Frame ``k`` of ``n`` belongs to ``[a, b)`` if and only if ``a <= k / n < b``, compared in double precision.
    Adjacent parts such as ``(0, 0.75)`` and ``(0.75, 1)`` therefore partition the frames, as long as neither is empty
    by this rule. An empty part gets the one frame nearest to it instead (the earlier of two equally near ones), which
    then belongs to two parts: with 1, 2 or 3 frames there is none in ``[0.75, 1)``.

    Args:
        n: Number of frames in the video, at least 1.
        frame_range: ``(a, b)``, fractions of the video's length, ``0 <= a < b <= 1``.

    Returns:
        A non-empty range of indices in ``[0, n)`` with step 1.

    Raises:
        ValueError: ``n`` is below 1, or ``frame_range`` is not two numbers with ``0 <= a < b <= 1``.

    >>> frames_in_range(10, (0.0, 0.75)), frames_in_range(10, (0.75, 1.0)), frames_in_range(2, (0.75, 1.0))
    (range(0, 8), range(8, 10), range(1, 2))
    """
    if n < 1:
        raise ValueError(f'A video should have at least one frame, got n={n}.')
    try:
        start, end = (float(bound) for bound in frame_range)
    except (TypeError, ValueError):
        raise ValueError(f'frame_range should be two numbers (a, b), got {frame_range!r}.') from None
    if not 0 <= start < end <= 1:  # also rejects NaN
        raise ValueError(f'frame_range should be (a, b) with 0 <= a < b <= 1, got {frame_range!r}.')

    return _find_range(n, start, end)


@lru_cache  # for data sets of many videos, which have few lengths
def _find_range(n: int, start: float, end: float) -> range:
    # Bisect the rule itself: ceil(a * n) would round differently, as in ceil(0.07 * 100) = 8.
    first = bisect_left(range(n), start, key=lambda k: k / n)
    last = bisect_left(range(n), end, key=lambda k: k / n)
    if first < last:
        return range(first, last)
    before, after = first - 1, first  # the part lies between these two frames; a > 0, so `before` exists
    if after < n and after / n - end < start - before / n:
        return range(after, after + 1)
    return range(before, before + 1)


def split_frames(n: int) -> tuple[range, range]:
    """Divide the frames of a video by time: the last quarter are held out as queries, the others are the gallery.

    A network trained on ``frame_range=(0, 0.75)``, see :func:`frames_in_range`, has not seen the queries. Videos too
    short for that (2 or 3 frames) still hold out their last frame, which such a network has seen.

    Args:
        n: Number of frames in the video, at least 1.

    Returns:
        Gallery and query indices. From two frames on, neither is empty; a single frame is gallery.

    Raises:
        ValueError: ``n`` is below 1.
    """
    border = frames_in_range(n, (0.0, 1.0 - HELD_OUT_FRACTION)).stop
    border = max(1, min(border, n - 1))
    return range(border), range(border, n)
