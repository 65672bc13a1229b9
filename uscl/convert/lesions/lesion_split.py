"""Split images into training and validation, or into folds; the images of a patient stay together."""

from collections.abc import Sequence

from uscl.data.patient_division import Item, divide, hold_back_number


def hold_back(
    keys: Sequence[str], strata: Sequence[str], patients: Sequence[str | None], count: int, seed: int
) -> list[bool]:
    """Choose the validation images, see :func:`uscl.data.patient_division.hold_back_number`.

    Args:
        keys: N unique names.
        strata: N class names.
        patients: N patients; None is unknown.
        count: Validation images wanted, in [1, N - 1].
        seed: Another seed gives another choice.

    Returns:
        N flags, True for validation; neither side is empty.

    Raises:
        ValueError: ``count`` is out of range, or all images are of one patient.
    """
    if not 1 <= count < len(keys):
        raise ValueError(f'{count} of {len(keys)} images cannot be held back: at least one should stay on each side.')
    if len(set(patients)) == 1 and patients[0] is not None:
        raise ValueError('all images are of one patient, so none can be held back: split off another patient.')
    held = hold_back_number(_items(keys, strata, patients), count, seed)
    return [key in held for key in keys]


def assign_folds(
    keys: Sequence[str], strata: Sequence[str], patients: Sequence[str | None], folds: int, seed: int
) -> list[int]:
    """Give every image the fold in which it is validated, see :func:`uscl.data.patient_division.divide`.

    Args:
        keys: N unique names.
        strata: N class names.
        patients: N patients; None is unknown.
        folds: Number of folds, at least 2.
        seed: Another seed gives other folds, where there is a choice.

    Returns:
        N numbers in [0, folds); every fold has images.

    Raises:
        ValueError: There are not enough patients, or images, for so many folds.
    """
    known = set(patients) - {None}
    units, what = len(known) + patients.count(None), 'patients' if known else 'images'
    too_many = f'{units} {what} with these classes cannot fill {folds} folds: ask for fewer.'
    if units < folds:
        raise ValueError(too_many)
    try:
        parts = divide(_items(keys, strata, patients), folds, seed)
    except ValueError as error:
        raise ValueError(too_many) from error
    if not all(parts):
        raise ValueError(too_many)
    fold_of = {key: fold for fold, part in enumerate(parts) for key in part}
    return [fold_of[key] for key in keys]


def _items(keys: Sequence[str], strata: Sequence[str], patients: Sequence[str | None]) -> list[Item]:
    return sorted(zip(keys, strata, patients, strict=True), key=lambda item: item[0])  # whatever the order they came in
