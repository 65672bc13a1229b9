from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uscl.data.patient_division import divide, hold_back_number, hold_back_share


def items_of(patients: dict):
    """One item a letter: the class, of the patient that is the key; those of the key None have no patient."""
    return [(f'{who}-{k}', label, who) for who, labels in patients.items() for k, label in enumerate(labels)]


ITEMS = st.dictionaries(
    st.none() | st.sampled_from([f'p{k}' for k in range(12)]), st.text('abc', min_size=1, max_size=6), min_size=2
).map(items_of)


@given(ITEMS, st.integers(0, 5), st.data())
@settings(deadline=None, max_examples=40)
def test_no_patient_is_on_both_sides(items, seed, data):
    number = data.draw(st.integers(1, len(items) - 1))
    for held in (hold_back_number(items, number, seed), hold_back_share(items, number / len(items), seed)):
        outside = {name for name, _, _ in items} - held
        assert outside and len(held) + len(outside) == len(items)
        for who in {who for _, _, who in items} - {None}:
            own = {name for name, _, patient in items if patient == who}
            assert own <= held or own <= outside
    largest = max(Counter(who for _, _, who in items if who is not None).values(), default=1)
    assert 0 < len(hold_back_number(items, number, seed)) < number + largest
    assert hold_back_number(items, number, seed) == hold_back_number(items[::-1], number, seed)


@pytest.mark.parametrize('number', [3, 12, 50, 87, 88])
def test_many_patients_reach_the_number_and_the_classes(number):
    items = items_of({f'p{k}': ('aab', 'b', 'abbc', 'ca')[k % 4] for k in range(36)})  # 90 items
    held = hold_back_number(items, number, 0)
    assert len(held) == number
    sizes, inside = Counter(label for _, label, _ in items), Counter(label for name, label, _ in items if name in held)
    for label, size in sizes.items():
        assert abs(inside[label] - size * number / 90) <= 1.5


def test_the_seed_changes_who_is_held_back():
    items = items_of({f'p{k}': 'ab' for k in range(20)})
    assert len({frozenset(hold_back_number(items, 8, seed)) for seed in range(5)}) == 5


def test_one_whom_nobody_else_can_replace():
    assert hold_back_number(items_of({'p': 'aaaaa', 'q': 'aaa'}), 1, 0) == {'q-0', 'q-1', 'q-2'}  # some must be
    assert hold_back_number(items_of({'p': 'aaaaa', 'q': 'a'}), 5, 0) == {f'p-{k}' for k in range(5)}  # some must not


def test_a_patient_may_have_the_name_of_an_item():
    items = [('x', 'a', None), ('y', 'a', 'x'), ('z', 'a', 'x'), ('w', 'a', None)]
    for seed in range(20):
        held = hold_back_number(items, 1, seed)
        assert held in ({'x'}, {'w'})


@given(ITEMS, st.integers(2, 4), st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_parts_divide_everything_by_patients(items, parts, seed):
    if max(Counter(label for _, label, _ in items).values()) < parts:
        with pytest.raises(ValueError, match='n_splits'):
            divide(items, parts, seed)
        return
    divided = divide(items, parts, seed)
    assert sorted(name for part in divided for name in part) == sorted(name for name, _, _ in items)
    for who in {who for _, _, who in items} - {None}:
        assert sum(any(name in part for name, _, patient in items if patient == who) for part in divided) == 1


def test_every_class_is_in_every_part_where_that_is_possible():
    """The first shuffle puts both patients of the rare class into one part with some of these seeds."""
    items = items_of({'r0': 'ccaa', 'r1': 'ccaaabbbb', 'p0': 'abb', 'p1': 'aaaabbbbb'})
    for seed in range(10):
        labels = [{label for name, label, _ in items if name in part} for part in divide(items, 2, seed)]
        assert labels == [set('abc')] * 2
