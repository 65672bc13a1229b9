"""Split videos into a training and a validation part."""

from collections.abc import Mapping

from .patient_division import hold_back_share


def split_videos(
    classes: Mapping[str, str | None], val_fraction: float, seed: int, patients: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """Split videos at random, class by class; the frames of a video and the videos of a patient stay together.

    See :func:`.patient_division.hold_back_share`: the split depends neither on the platform nor on the order in which
    the videos were found.

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
    known = patients or {}
    val = hold_back_share([(name, label, known.get(name)) for name, label in classes.items()], val_fraction, seed)
    return {name: 'val' if name in val else 'train' for name in classes}
