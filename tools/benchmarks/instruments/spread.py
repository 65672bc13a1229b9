"""Median and range of repeated measurements, and of ratios of measurements taken side by side."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one quantity.

    Attributes:
        median: Median of all values.
        min: Smallest value.
        max: Largest value.
        values: All values, in the order in which they were measured.
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
    """Ratios of measurements taken side by side, repeat by repeat: disturbances that affect both cancel.

    Args:
        numerators: R measurements.
        denominators: The R measurements taken next to them.

    Returns:
        The R ratios; their median is not the ratio of the medians.

    >>> paired_ratios([2, 12, 3], [1, 4, 2]).median
    2.0
    """
    return Spread.of([above / below for above, below in zip(numerators, denominators, strict=True)])
