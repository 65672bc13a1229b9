"""Split images into training and validation, or into folds; the images of a patient stay together."""

from collections.abc import Sequence
from contextlib import suppress

from uscl.core.plurals import counted
from uscl.data.patient_division import Item, divide, hold_back_number


def hold_back(items: Sequence[Item], count: int, seed: int) -> set[str]:
    """Choose the validation images, see :func:`uscl.data.patient_division.hold_back_number`.

    Args:
        items: N images: unique name, class, and patient (None if unknown).
        count: Number of validation images wanted, in [1, N - 1].
        seed: Another seed gives another choice.

    Returns:
        Names of the validation images; neither side is empty.

    Raises:
        ValueError: ``count`` is out of range, or all images are of one patient.
    """
    if not 1 <= count < len(items):
        raise ValueError(f'cannot hold back {count} of {counted(len(items), "image")}: leave one on each side.')
    patients = {patient for _, _, patient in items}
    if len(patients) == 1 and None not in patients:
        raise ValueError('all images are of one patient: a split needs at least two.')
    return hold_back_number(items, count, seed)


def assign_folds(items: Sequence[Item], folds: int, seed: int) -> dict[str, int]:
    """Assign every image to the fold in which it is validated, see :func:`uscl.data.patient_division.divide`.

    Args:
        items: See :func:`hold_back`.
        folds: Number of folds, at least 2.
        seed: Another seed gives other folds, if there is a choice.

    Returns:
        Folds by name, numbers in [0, folds); every fold has images.

    Raises:
        ValueError: There are not enough patients, or images, for so many folds.
    """
    known = {patient for _, _, patient in items} - {None}
    units = len(known) + sum(patient is None for _, _, patient in items)
    parts: list[set[str]] = []
    if units >= folds:
        with suppress(ValueError):  # no class has enough images
            parts = divide(sorted(items, key=lambda item: item[0]), folds, seed)
    if not parts or not all(parts):
        what = counted(units, 'patient' if known else 'image')
        raise ValueError(f'{what} with these classes cannot fill {folds} folds: ask for fewer.')
    return {name: fold for fold, part in enumerate(parts) for name in part}
