"""Split images into training and validation, or into folds; the images of a patient stay together."""

import random
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence

from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from uscl.core.hash_rank import hash_rank

_DRAWS = 1000  # subsets of patients that are compared for the balance of classes


def hold_back(
    keys: Sequence[str], strata: Sequence[str], patients: Sequence[str | None], count: int, seed: int
) -> list[bool]:
    """Choose the validation images.

    Where no patient is known, exactly ``count`` images are chosen, from every class in proportion. Otherwise whole
    patients are (an image without one counts as one): as many images as come nearest to ``count``, of two equally
    near numbers the smaller; among choices of that many, one whose classes are near to those of all images.

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
    if not any(patient is not None for patient in patients):
        chosen = _choose_images(keys, strata, count, seed)
        return [key in chosen for key in keys]
    units = unit_names(keys, patients)
    members: dict[str, Counter] = defaultdict(Counter)
    for unit, stratum in zip(units, strata, strict=True):
        members[unit][stratum] += 1
    if len(members) < 2:
        raise ValueError('all images are of one patient, so none can be held back: split off another patient.')
    chosen = _choose_units(members, count, seed)
    return [unit in chosen for unit in units]


def unit_names(keys: Sequence[str], patients: Sequence[str | None]) -> list[str]:
    """What each image is split with: its patient, or itself where that is unknown."""
    return [f'image/{key}' if who is None else f'patient/{who}' for key, who in zip(keys, patients, strict=True)]


def _choose_images(keys: Sequence[str], strata: Sequence[str], count: int, seed: int) -> set[str]:
    sizes = Counter(strata)
    shares = {name: size * count / len(keys) for name, size in sizes.items()}
    quota = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (quota[name] - shares[name], name))
    for name in by_remainder[: count - sum(quota.values())]:
        quota[name] += 1
    order = sorted(zip(keys, strata, strict=True), key=lambda pair: (hash_rank(pair[0], seed), pair[0]))
    return {key for name in sizes for key in [k for k, stratum in order if stratum == name][: quota[name]]}


def _choose_units(members: dict[str, Counter], count: int, seed: int) -> set[str]:
    units = sorted(members, key=lambda unit: (hash_rank(unit, seed), unit))
    sizes = [members[unit].total() for unit in units]
    reachable = [1]  # bit t of entry i: the first i units hold subsets of t images
    for size in sizes:
        reachable.append(reachable[-1] | reachable[-1] << size)
    total = sum(sizes)
    target = min((t for t in range(1, total) if reachable[-1] >> t & 1), key=lambda t: (abs(t - count), t))
    whole = sum(members.values(), Counter())

    def imbalance(subset: set[str]) -> float:
        held = sum((members[unit] for unit in subset), Counter())
        return sum(abs(held[name] - size * target / total) for name, size in whole.items())

    rng = random.Random(seed)
    return min((_draw_subset(units, sizes, reachable, target, rng) for _ in range(_DRAWS)), key=imbalance)


def _draw_subset(
    units: Sequence[str], sizes: Sequence[int], reachable: Sequence[int], target: int, rng: random.Random
) -> set[str]:
    """A random subset of exactly ``target`` images, found by walking back through what is reachable."""
    chosen, left = set(), target
    remaining = sum(sizes)
    for i in range(len(units) - 1, -1, -1):
        may_leave = reachable[i] >> left & 1
        may_take = left >= sizes[i] and reachable[i] >> (left - sizes[i]) & 1
        if may_take and (not may_leave or rng.random() * remaining < left):
            chosen.add(units[i])
            left -= sizes[i]
        remaining -= sizes[i]
    return chosen


def assign_folds(
    keys: Sequence[str], strata: Sequence[str], patients: Sequence[str | None], folds: int, seed: int
) -> list[int]:
    """Give every image the fold in which it is validated, with classes in proportion as far as patients allow.

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
    units = unit_names(keys, patients)
    order = sorted(set(units), key=lambda unit: (hash_rank(unit, seed), unit))
    what = 'images' if all(patient is None for patient in patients) else 'patients'
    too_many = f'{len(order)} {what} with these classes cannot fill {folds} folds: ask for fewer.'
    if len(order) < folds:
        raise ValueError(too_many)
    splitter: StratifiedKFold | StratifiedGroupKFold
    if what == 'images':
        splitter, groups = StratifiedKFold(folds, shuffle=True, random_state=seed), None
    else:
        # scikit-learn's own shuffling mixes up which patient has which classes (seen in 1.7), so we shuffle the names.
        rank = {unit: i for i, unit in enumerate(order)}
        splitter, groups = StratifiedGroupKFold(folds), [rank[unit] for unit in units]
    assigned = [-1] * len(keys)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # a class with fewer members than folds: the table shows it
        try:
            for number, (_, held) in enumerate(splitter.split(keys, strata, groups)):
                for i in held:
                    assigned[i] = number
        except ValueError as error:
            raise ValueError(too_many) from error
    if set(assigned) != set(range(folds)):
        raise ValueError(too_many)
    return assigned
