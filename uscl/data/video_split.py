"""Split videos into a training and a validation part."""

from collections.abc import Mapping

from .patient_division import hold_back_share


def split_videos(
    classes: Mapping[str, str | None], val_fraction: float, seed: int, patients: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """Split videos at random within each class, keeping the videos of a patient together.

    See :func:`.patient_division.hold_back_share`: the split depends neither on the platform nor on the order of the
    videos.

    Args:
        classes: Class by video id; None is unlabelled, which counts as a separate class here.
        val_fraction: Fraction for validation, in [0, 1).
        seed: A different seed gives a different split.
        patients: Patient by video id; None or absent if unknown.

    Returns:
        'train' or 'val' by video id.

    Raises:
        ValueError: ``val_fraction`` is out of range.
    """
    known = patients or {}
    val = hold_back_share([(name, label, known.get(name)) for name, label in classes.items()], val_fraction, seed)
    return {name: 'val' if name in val else 'train' for name in classes}
