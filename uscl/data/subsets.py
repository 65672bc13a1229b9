"""Seeded subsets that are stratified and nested: the 1 % subset is part of the 10 % subset."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence

from uscl.core.hash_rank import hash_rank


def stratified_subset(keys: Sequence[str], strata: Sequence[Hashable], fraction: float, seed: int = 0) -> list[int]:
    """Choose a fraction of every stratum, at least one item of each if the fraction is above 0.

    Each stratum is ordered by :func:`hash_rank` and its first ``max(1, round(fraction * size))`` items are taken, so
    subsets with the same seed are nested, and adding a key changes few other choices.

    Args:
        keys: N unique names.
        strata: N stratum labels, such as class names.
        fraction: Fraction in [0, 1]; 0 chooses nothing.
        seed: Seed of the order.

    Returns:
        Positions in ``keys``, ascending.

    Raises:
        ValueError: ``fraction`` is not in [0, 1].
    """
    if not 0 <= fraction <= 1:  # also rejects NaN
        raise ValueError(f'fraction should be in [0, 1], got {fraction}.')
    if fraction == 0:
        return []
    members: dict[Hashable, list[int]] = defaultdict(list)
    for position, stratum in enumerate(strata):
        members[stratum].append(position)
    chosen: list[int] = []
    for positions in members.values():
        ordered = sorted(positions, key=lambda position: (hash_rank(keys[position], seed), keys[position]))
        chosen += ordered[: max(1, math.floor(fraction * len(ordered) + 0.5))]
    return sorted(chosen)
