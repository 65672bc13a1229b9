"""Select entries of an annotation: by split, by label, and which labels to keep."""

from collections.abc import Sequence
from pathlib import Path

from .subsets import stratified_subset


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
            raise ValueError(
                f'{ann_file} has no split {name!r}, only {splits}: set split to one of them or to None for all '
                f'videos, or convert with --val-fraction.'
            )
    return [entry for entry in entries if entry['split'] in wanted]


def hide_labels(videos: list[dict], fraction: float, seed: int) -> None:
    """Set ``gt_label`` to -1 except for a seeded fraction of every class.

    Args:
        videos: Dicts with ``video_id`` and ``gt_label`` (-1: unlabelled); modified in place.
        fraction: Fraction of the labelled videos that keep their label, in [0, 1].
        seed: Seed of the choice, see :func:`.stratified_subset`.
    """
    labelled = [video for video in videos if video['gt_label'] >= 0]
    keep = stratified_subset(
        [video['video_id'] for video in labelled], [video['gt_label'] for video in labelled], fraction, seed
    )
    for i in set(range(len(labelled))) - set(keep):
        labelled[i]['gt_label'] = -1
