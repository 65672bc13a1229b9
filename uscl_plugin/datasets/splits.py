"""Split videos into a training and a validation part."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping


def split_videos(classes: Mapping[str, str], val_fraction: float, seed: int) -> dict[str, str]:
    """Split videos at random, class by class; a video's frames stay together.

    The videos of a class are ordered by a hash of the seed and their id, and the first ``round(n * val_fraction)`` go
    to validation: at least one of two or more if the fraction is above 0, and never a whole class. The order is that
    of the hashes, so it depends neither on the platform nor on the order in which the videos were found.

    Args:
        classes: Class of every video by its id.
        val_fraction: Share for validation, in [0, 1).
        seed: Another seed gives another split.

    Returns:
        'train' or 'val' by video id.

    Raises:
        ValueError: ``val_fraction`` is out of range.
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f'val_fraction should be at least 0 and below 1, got {val_fraction}.')
    members = defaultdict(list)
    for video_id, name in classes.items():
        members[name].append(video_id)
    split = {}
    for videos in members.values():
        videos.sort(key=lambda video_id: hashlib.sha256(f'{seed}:{video_id}'.encode()).digest())
        wanted = max(round(len(videos) * val_fraction), val_fraction > 0)
        held_back = min(wanted, len(videos) - 1)
        split.update({video_id: 'val' if rank < held_back else 'train' for rank, video_id in enumerate(videos)})
    return split
