"""Median and range of repeated measurements, and of ratios of measurements that were taken side by side."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one quantity.

    Attributes:
        median: Of all.
        min: The smallest.
        max: The largest.
        values: All, in the order in which they were taken.
    """

    median: float
    min: float
    max: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Spread':
        """Summarise at least one value."""
        return cls(statistics.median(values), min(values), max(values), tuple(values))


def paired_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Ratio of what was measured side by side, repeat by repeat: what slows both of a pair cancels.

    Args:
        numerators: R measurements.
        denominators: The R measurements that were taken beside them.

    Returns:
        The R ratios; their median is not the ratio of the medians.

    >>> paired_ratios([2, 12, 3], [1, 4, 2]).median
    2.0
    """
    return Spread.of([above / below for above, below in zip(numerators, denominators, strict=True)])
