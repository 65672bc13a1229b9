"""Split videos into a training and a validation part."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from uscl.core.hash_rank import hash_rank


def split_videos(
    classes: Mapping[str, str | None], val_fraction: float, seed: int, patients: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """Split videos at random, class by class; the frames of a video and the videos of a patient stay together.

    What is split are patients, and videos whose patient is not known; a patient counts for the class that most of
    its videos have. Those of a class are ordered by :func:`~uscl.core.hash_rank.hash_rank`, and the first
    ``round(n * val_fraction)`` go to validation: at least one of two or more if the fraction is above 0, and never a
    whole class. So the split depends neither on the platform nor on the order in which the videos were found.

    Args:
        classes: Class of every video by its id; None is unlabelled, a class of its own here.
        val_fraction: Share for validation, in [0, 1).
        seed: Another seed gives another split.
        patients: Patient of videos by their id; None or absent is not known.

    Returns:
        'train' or 'val' by video id.

    Raises:
        ValueError: ``val_fraction`` is out of range.
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f'val_fraction should be at least 0 and below 1, got {val_fraction}.')
    units: dict[tuple[str, str], list[str]] = defaultdict(list)
    for video_id in sorted(classes):
        patient = (patients or {}).get(video_id)
        units[('video', video_id) if patient is None else ('patient', patient)].append(video_id)
    members: dict[str | None, list[tuple[str, str]]] = defaultdict(list)
    for unit, videos in units.items():
        members[Counter(classes[video_id] for video_id in videos).most_common(1)[0][0]].append(unit)
    split = {}
    for candidates in members.values():
        candidates.sort(key=lambda unit: (hash_rank(unit[1], seed), unit))
        wanted = max(round(len(candidates) * val_fraction), val_fraction > 0)
        held_back = min(wanted, len(candidates) - 1)
        for rank, unit in enumerate(candidates):
            split.update(dict.fromkeys(units[unit], 'val' if rank < held_back else 'train'))
    return split
