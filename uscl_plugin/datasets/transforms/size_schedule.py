"""Progressive resizing: small views at the start of a run, which cost less, and the final size at its end."""

from collections import Counter


class SizeSchedule:
    """The side length of square views as a run progresses.

    With progress p in [0, 1), the side is ``scale * (start + (1 - start) * min(1, p / until))``, rounded to the nearest
    multiple or to ``scale``; from ``until`` on it is ``scale`` itself.

    Args:
        scale: Final side in pixels.
        start: First side as a fraction of ``scale``, in (0, 1].
        until: Fraction of the run in which the views grow, in (0, 1].
        multiple: Sides before the final one are multiples of this many pixels: 16 suits networks that halve a map four
            or five times.

    Raises:
        ValueError: A fraction is out of its range, or ``multiple`` is below 1.

    >>> [SizeSchedule(64, start=0.5, until=0.8).at(epoch / 10) for epoch in range(10)]
    [32, 32, 32, 48, 48, 48, 64, 64, 64, 64]
    >>> SizeSchedule(64).at(None)
    64
    """

    def __init__(self, scale: int, start: float = 0.5, until: float = 0.8, multiple: int = 16) -> None:
        for name, fraction in {'start': start, 'until': until}.items():
            if not 0 < fraction <= 1:
                raise ValueError(f'schedule: {name} should be in (0, 1], got {fraction}.')
        if multiple < 1:
            raise ValueError(f'schedule: multiple should be at least 1, got {multiple}.')
        self.scale, self.start, self.until, self.multiple = scale, start, until, multiple

    def at(self, progress: float | None) -> int:
        """The side in pixels.

        Args:
            progress: Completed fraction of the run, in [0, 1); None outside of a run, where views have the final size.
        """
        if progress is None:
            return self.scale
        side = self.scale * (self.start + (1 - self.start) * progress / self.until)
        nearest = max(1, round(side / self.multiple)) * self.multiple
        return self.scale if self.scale - side <= abs(nearest - side) else nearest

    def shares(self, steps: int = 1000) -> dict[int, float]:
        """Side in pixels → fraction of the run, to within one of so many steps.

        >>> SizeSchedule(64, start=0.5, until=0.8).shares()
        {32: 0.201, 48: 0.399, 64: 0.4}
        """
        counts = Counter(self.at(step / steps) for step in range(steps))
        return {side: count / steps for side, count in counts.items()}

    def __repr__(self) -> str:
        return f'dict(start={self.start}, until={self.until}, multiple={self.multiple})'
