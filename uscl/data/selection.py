"""Select entries of an annotation by split, choose stratified subsets, and hide labels."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

from uscl.core.hash_rank import hash_rank


def select_split(entries: list[dict], split: str | Sequence[str] | None, ann_file: str | Path) -> list[dict]:
    """The entries of one or several splits; None: all.

    Raises:
        ValueError: The annotation does not have the split.
    """
    wanted = [split] if isinstance(split, str) else split
    if wanted is None:
        return entries
    splits = sorted({entry['split'] for entry in entries if entry['split'] is not None})
    for name in wanted:
        if name not in splits:
            remedy = 'set split to one of them, to None for all videos, or convert with --val-fraction'
            raise ValueError(f'{ann_file} has no split {name!r}, only {splits}: {remedy}.')
    return [entry for entry in entries if entry['split'] in wanted]


def hide_labels(videos: list[dict], fraction: float, seed: int) -> None:
    """Set ``gt_label`` to -1 except for a seeded fraction of every class.

    Args:
        videos: Dicts with ``video_id`` and ``gt_label`` (-1: unlabelled); modified in place.
        fraction: Fraction of the labelled videos that keep their label, in [0, 1].
        seed: Seed of the choice, see :func:`stratified_subset`.
    """
    labelled = [video for video in videos if video['gt_label'] >= 0]
    keep = stratified_subset(
        [video['video_id'] for video in labelled], [video['gt_label'] for video in labelled], fraction, seed
    )
    for i in set(range(len(labelled))) - set(keep):
        labelled[i]['gt_label'] = -1


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
