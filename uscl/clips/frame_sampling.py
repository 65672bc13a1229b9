"""Which frames of a clip to keep, decided by the clip's own presentation times alone."""

import math

# For clips that state neither time stamps nor a rate; 25 is the rate FFmpeg assumes too.
ASSUMED_RATE = 25.0
MIN_FRAMES = 8  # of a clip, unless another number is asked for: a loop of one heart beat gives two at 3 a second


class FrameSampler:
    """Which frames to keep: the first of every interval of ``1 / fps`` seconds.

    Args:
        fps: Frames to keep in a second, above 0; None keeps every frame.
        time_base: Seconds a tick of the clip's clock, see :func:`bucket_of`.

    Attributes:
        times: Seconds at which the frames kept so far are shown.
    """

    def __init__(self, fps: float | None, time_base: float) -> None:
        self.times: list[float] = []
        self._fps = fps
        self._time_base = time_base
        self._bucket = -1

    def keeps(self, time: float) -> bool:
        """Whether to keep the frame that is shown at a time; ask for each frame in turn, from the first on."""
        if self._fps is not None:
            start = self.times[0] if self.times else time
            bucket = bucket_of(time, start, self._fps, self._time_base)
            if bucket <= self._bucket:
                return False
            self._bucket = bucket
        self.times.append(time)
        return True


def next_time(pts: int | None, time_base: float, previous: float | None, period: float) -> float:
    """Presentation time of a frame; times always advance.

    A time stamp that is missing, or does not advance (clips that were glued together, damaged stamps), is replaced by
    the previous time plus one frame period.

    Args:
        pts: Time stamp in ticks of ``time_base``, or None if the clip has none.
        time_base: Seconds a tick.
        previous: Time of the frame before, in seconds; None for the first frame.
        period: Seconds a frame lasts at the clip's nominal rate.

    Returns:
        Seconds on the clip's own clock (which need not start at 0).

    >>> next_time(30, 0.1, 2.0, 0.5), next_time(None, 0.1, 2.0, 0.5), next_time(0, 0.1, 2.0, 0.5)
    (3.0, 2.5, 2.5)
    """
    time = None if pts is None else pts * time_base
    if previous is None:
        return 0.0 if time is None else time
    return time if time is not None and time > previous else previous + period


def bucket_of(time: float, start: float, fps: float, time_base: float) -> int:
    """Index of the sampling interval that a time lies in: ``floor((time - start + eps) * fps)``.

    The first frame in every interval is the one to keep. ``eps`` is half a tick of the clip's clock, for containers
    that round: Matroska stores 333 ms for frame 10 of a 30 fps clip, which belongs to the interval from 333.3 ms on.
    It is at most 0.5 ms, so that clocks with one tick a frame are taken literally.

    Args:
        time: Time of the frame in seconds.
        start: Time of the clip's first frame in seconds.
        fps: Frames to keep in a second, above 0.
        time_base: Seconds a tick.

    Returns:
        0 for the first interval, and so on.

    >>> [bucket_of(i / 30, 0, 3, 1 / 90000) for i in (0, 9, 10, 19, 20)]
    [0, 0, 1, 1, 2]
    """
    eps = max(1e-6, min(time_base / 2, 5e-4))
    return math.floor((time - start + eps) * fps)
