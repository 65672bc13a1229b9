import pytest

from uscl.core.loose_names import look_alikes, loose_key, means_unknown


@pytest.mark.parametrize(
    ('one', 'other'),
    [('1', '01'), ('1', '1.0'), ('P1', 'p1'), ('P 1', 'P1'), ('p-007', 'P-7'), ('ä', 'A\u0308'), ('covid', 'Covid '),
     ('12.00', '012'), ('a01b002', 'a1b2')],
)  # fmt: skip
def test_meant_to_be_equal(one, other):
    assert loose_key(one) == loose_key(other)


@pytest.mark.parametrize(
    ('one', 'other'),
    [
        ('1', '10'),
        ('p1', 'p2'),
        ('p10', 'p1'),
        ('0', '00a'),
        ('1.5', '1.05'),
        ('1.0', '10'),
        ('v.0', 'v'),
        ('a-1', 'a1'),
    ],
)
def test_different(one, other):
    assert loose_key(one) != loose_key(other)


def test_words_for_nothing():
    assert all(map(means_unknown, ['nan', 'NaN', 'None', 'NA', 'n/a', ' null ']))
    assert not any(map(means_unknown, ['', 'Nan Goldin', 'nana', '0', 'normal', 'unknown']))


def test_one_sentence_names_all_in_the_order_of_appearance():
    (sentence,) = look_alikes(['b', None, 'B', 'a'], ['1', '01', None, 'q', '1.0', 'NaN'])
    assert 'label b / B, patient 1 / 01 / 1.0, patient NaN.' in sentence and ' q' not in sentence
    assert look_alikes(['a', 'b', None, 'a'], ['p1', 'p2', None, 'p1']) == []


def test_patients_that_may_not_be_named_are_counted():
    (sentence,) = look_alikes(['a', 'A'], ['secret1', 'Secret1', 'x'], named=False)
    assert 'label a / A' in sentence and 'ecret' not in sentence and ', 1 group of patient ids.' in sentence
