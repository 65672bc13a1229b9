"""Which frames of a clip to keep, decided by the clip's own presentation times alone."""

import math

ASSUMED_RATE = 25.0  # of clips that state neither times nor a rate; FFmpeg assumes the same
MIN_FRAMES = 8  # of a clip by default: a loop of one heartbeat gives only two at 3 a second


class FrameSampler:
    """Which frames to keep: the first of every interval of ``1 / fps`` seconds.

    Args:
        fps: Frames to keep per second, above 0; None keeps every frame.
        tick: Seconds per tick of the clip's clock, see :func:`bucket_of`.
        period: Seconds per frame at the clip's nominal rate.

    Attributes:
        times: Seconds at which the kept frames are shown.
        places: Which of the frames they are, from 0.
    """

    def __init__(self, fps: float | None, tick: float, period: float) -> None:
        self.times: list[float] = []
        self.places: list[int] = []
        self._asked = 0
        self._fps = fps
        self._tick = tick
        self._period = period
        self._time: float | None = None
        self._bucket = -1

    def keeps(self, stamp: float | None) -> bool:
        """Whether to keep the next frame, given its time stamp in seconds; see :func:`next_time`."""
        self._time = next_time(stamp, self._time, self._period)
        self._asked += 1
        if self._fps is not None:
            start = self.times[0] if self.times else self._time
            bucket = bucket_of(self._time, start, self._fps, self._tick)
            if bucket <= self._bucket:
                return False
            self._bucket = bucket
        self.times.append(self._time)
        self.places.append(self._asked - 1)
        return True


def next_time(stamp: float | None, previous: float | None, period: float) -> float:
    """Presentation time of a frame; times always advance.

    A time stamp that is missing or does not advance (joined clips, damaged stamps) is replaced by the previous time
    plus one frame period.

    Args:
        stamp: Time stamp in seconds, or None if the clip has none.
        previous: Time of the previous frame in seconds; None for the first frame.
        period: Seconds per frame at the clip's nominal rate.

    Returns:
        Seconds on the clip's own clock (which need not start at 0).

    >>> next_time(3.0, 2.0, 0.5), next_time(None, 2.0, 0.5), next_time(0.0, 2.0, 0.5)
    (3.0, 2.5, 2.5)
    """
    if previous is None:
        return stamp or 0.0
    return stamp if stamp is not None and stamp > previous else previous + period


def bucket_of(time: float, start: float, fps: float, tick: float) -> int:
    """Index of the sampling interval that contains a time: ``floor((time - start + eps) * fps)``.

    The first frame in every interval is kept. ``eps`` is half a tick of the clip's clock, for containers that round:
    Matroska stores 333 ms for frame 10 of a 30 fps clip, which belongs to the interval that starts at 333.3 ms. It is
    at most 0.5 ms, so that clocks with one tick per frame are taken literally.

    Args:
        time: Time of the frame in seconds.
        start: Time of the clip's first frame in seconds.
        fps: Frames to keep per second, above 0.
        tick: Seconds per tick.

    Returns:
        0 for the first interval, and so on.

    >>> [bucket_of(i / 30, 0, 3, 1 / 90000) for i in (0, 9, 10, 19, 20)]
    [0, 0, 1, 1, 2]
    """
    return math.floor((time - start + max(1e-6, min(tick / 2, 5e-4))) * fps)
