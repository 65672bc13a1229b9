"""Divide items with a class and a patient into parts so that no patient is in two of them."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from uscl.core.hash_rank import hash_rank
from uscl.core.plurals import counted

# Unique name, class, and patient: an item without a known patient is its own group.
Item = tuple[str, str | None, str | None]
_Unit = tuple[str, str]  # never divided: ('patient', patient) or ('single', item name)
_ATTEMPTS = 100


def unknown_patients(patients: Sequence[str | None]) -> list[str]:
    """A sentence on videos without a known patient; none if all are known.

    >>> unknown_patients(['p1', None])
    ['1 of 2 videos without a patient id, grouped by video: results are inflated if a patient has several.']
    """
    count = sum(patient is None for patient in patients)
    what = f'{count} of {counted(len(patients), "video")} without a patient id, grouped by video'
    return [f'{what}: results are inflated if a patient has several.'] if count else []


def hold_back_share(items: Sequence[Item], val_fraction: float, seed: int) -> set[str]:
    """Hold back a fraction of the patients of every class; a patient counts as the class of most of its items.

    The patients of a class are ordered by :func:`~uscl.core.hash_rank.hash_rank`, and the first ``round(n *
    val_fraction)`` are held back: at least one of two or more if the fraction is above 0, and never a whole class. The
    choice therefore depends neither on the order of the items nor on other classes.

    Args:
        items: Items to divide; None counts as a separate class.
        val_fraction: Fraction of the patients, in [0, 1).
        seed: A different seed gives a different choice.

    Returns:
        Names of the items held back.

    Raises:
        ValueError: ``val_fraction`` is out of range.
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f'val_fraction should be at least 0 and below 1, got {val_fraction}.')
    units = _units(items)
    of_class: dict[str | None, list[_Unit]] = defaultdict(list)
    for unit, members in units.items():
        of_class[Counter(label for _, label, _ in members).most_common(1)[0][0]].append(unit)
    chosen: list[_Unit] = []
    for candidates in of_class.values():
        wanted = max(round(len(candidates) * val_fraction), val_fraction > 0)
        chosen += _in_hash_order(candidates, seed)[: min(wanted, len(candidates) - 1)]
    return _names(units, chosen)


def hold_back_number(items: Sequence[Item], number: int, seed: int) -> set[str]:
    """Hold back a number of items, proportionally from every class, as closely as whole patients allow.

    Each class gets a quota of the number, by largest remainders. Patients are visited in the order of
    :func:`~uscl.core.hash_rank.hash_rank`, and each is held back if that brings the classes closer to their quotas
    overall. Of a hundred such orders, the one that ends closest to the number, then closest to the quotas, is taken. If
    no patients are known, the number and the quotas are met exactly.

    Args:
        items: Items to divide, from at least two patients.
        number: In [1, N - 1].
        seed: A different seed gives a different choice.

    Returns:
        Names of the items held back; neither none nor all.
    """
    units = _units(items)
    counts = {unit: Counter(label for _, label, _ in members) for unit, members in units.items()}
    quotas = _quotas(Counter(label for _, label, _ in items), number)

    def miss(held: Counter) -> int:
        return sum(abs(held[label] - quota) for label, quota in quotas.items())

    best: tuple[int, int, list[_Unit]] | None = None
    for attempt in range(_ATTEMPTS):
        order = _in_hash_order(units, seed + (attempt << 32))
        chosen: list[_Unit] = []
        held: Counter = Counter()
        for unit in order:
            more = held + counts[unit]
            if len(chosen) < len(order) - 1 and miss(more) < miss(held):
                chosen.append(unit)
                held = more
        if not chosen:  # each patient is too large
            chosen = [min(order, key=lambda unit: miss(counts[unit]))]
            held = counts[chosen[0]]
        found = abs(held.total() - number), miss(held), chosen
        if best is None or found[:2] < best[:2]:
            best = found
        if best[:2] == (0, 0):
            break
    assert best is not None
    return _names(units, best[2])


def divide(items: Sequence[Item], parts: int, seed: int) -> list[set[str]]:
    """Divide into parts stratified by class (scikit-learn's ``StratifiedGroupKFold``), for cross-validation.

    Of a hundred shuffles, the first one in which every class is both inside and outside of every part is taken, or
    failing that, at least outside. Seeds only break ties between equally good placements of a patient, so if all
    patients differ in size, every seed gives the same parts.

    Args:
        items: Items to divide; each has a class.
        parts: At least 2.
        seed: Seed of the shuffles.

    Returns:
        Names of the items in each part; a part may be empty if there are few patients.

    Raises:
        ValueError: No class has as many items as there are parts.
    """
    import numpy as np  # here, because a converter's --help needs neither
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels = np.array([label for _, label, _ in items])
    unit_of = [_unit(item) for item in items]
    places = {unit: place for place, unit in enumerate(sorted(set(unit_of)))}
    groups = np.array([places[unit] for unit in unit_of])
    found: dict[str, list[set[str]]] = {}
    for attempt in range(_ATTEMPTS):
        state = np.random.RandomState((seed * _ATTEMPTS + attempt) % 2**32)
        if len(places) == len(items):
            splitter = StratifiedKFold(parts, shuffle=True, random_state=state)
        else:
            # The built-in shuffle (scikit-learn 1.7) separates groups from their class counts, so it does not stratify.
            # Here the groups are put in a random order instead, which decides between equally good placements.
            splitter = StratifiedGroupKFold(parts)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # on small classes: the caller judges these by patients
            sides = list(splitter.split(labels, labels, state.permutation(len(places))[groups]))
        divided = [{items[place][0] for place in inside} for _, inside in sides]
        every = len(set(labels))
        lacks_outside, lacks_inside = (any(len(set(labels[pair[k]])) < every for pair in sides) for k in (0, 1))
        if not lacks_outside and not lacks_inside:
            return divided
        found.setdefault('any' if lacks_outside else 'outside', divided)
    return found.get('outside') or found['any']


def _unit(item: Item) -> _Unit:
    name, _, patient = item
    return ('single', name) if patient is None else ('patient', patient)


def _units(items: Iterable[Item]) -> dict[_Unit, list[Item]]:
    """The units that are never divided, with their items in name order."""
    units: dict[_Unit, list[Item]] = defaultdict(list)
    for item in sorted(items, key=lambda item: item[0]):
        units[_unit(item)].append(item)
    return units


def _in_hash_order(units: Iterable[_Unit], seed: int) -> list[_Unit]:
    return sorted(units, key=lambda unit: (hash_rank(unit[1], seed), unit))


def _names(units: dict[_Unit, list[Item]], chosen: Iterable[_Unit]) -> set[str]:
    return {name for unit in chosen for name, _, _ in units[unit]}


def _quotas(sizes: Counter, number: int) -> dict[str | None, int]:
    shares = {label: size * number / sizes.total() for label, size in sizes.items()}
    quotas = {label: int(share) for label, share in shares.items()}
    by_remainder = sorted(shares, key=lambda label: (quotas[label] - shares[label], str(label)))
    for label in by_remainder[: number - sum(quotas.values())]:
        quotas[label] += 1
    return quotas
