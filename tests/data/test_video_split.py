import pytest
from hypothesis import given
from hypothesis import strategies as st

from uscl.data.video_split import split_videos


def make(**counts):
    return {f'{name}/{i}': name for name, count in counts.items() for i in range(count)}


def held_back(split, name):
    return sum(part == 'val' for video_id, part in split.items() if video_id.startswith(f'{name}/'))


def test_eight_to_two_in_every_class():
    split = split_videos(make(a=10, b=63, c=2, d=1, e=3), 0.2, seed=0)
    assert [held_back(split, name) for name in 'abcde'] == [2, 13, 1, 0, 1]
    assert set(split.values()) == {'train', 'val'}


def test_fraction_zero_holds_nothing_back():
    assert set(split_videos(make(a=10, b=2), 0, seed=0).values()) == {'train'}


def test_never_a_whole_class():
    split = split_videos(make(a=1, b=2, c=4), 0.9, seed=0)
    assert [held_back(split, name) for name in 'abc'] == [0, 1, 3]


def test_seed_and_ids_decide_alone():
    videos = make(a=40)
    split = split_videos(videos, 0.2, seed=1)
    assert split == split_videos(dict(reversed(videos.items())), 0.2, seed=1)
    assert split != split_videos(videos, 0.2, seed=2)
    # Known value: a change of the hash would silently move videos between the parts of existing splits.
    assert sorted(v for v, part in split_videos(make(a=10), 0.2, seed=0).items() if part == 'val') == ['a/3', 'a/9']


@given(st.integers(2, 60), st.floats(0.01, 0.5), st.integers(0, 5))
def test_a_class_does_not_depend_on_the_others(count, fraction, seed):
    alone = split_videos(make(a=count), fraction, seed)
    assert alone.items() <= split_videos(make(a=count, b=7), fraction, seed).items()
    assert held_back(alone, 'a') == min(max(1, round(count * fraction)), count - 1)


@given(
    st.dictionaries(st.integers(0, 99), st.tuples(st.sampled_from('ab'), st.none() | st.integers(0, 9)), min_size=1),
    st.floats(0, 0.9),
    st.integers(0, 5),
)
def test_a_patient_is_on_one_side(videos, fraction, seed):
    classes = {f'v{i}': name for i, (name, _) in videos.items()}
    patients = {f'v{i}': None if patient is None else f'p{patient}' for i, (_, patient) in videos.items()}
    split = split_videos(classes, fraction, seed, patients)
    assert split.keys() == classes.keys()
    for patient in set(patients.values()) - {None}:
        assert len({split[v] for v in split if patients[v] == patient}) == 1


def test_patients_are_counted_by_the_class_that_most_of_their_videos_have():
    patients = {f'v{i}': f'p{i // 3}' for i in range(30)}
    classes = {video: 'rare' if video == 'v0' else 'a' for video in patients}  # p0 is of class a, too
    split = split_videos(classes, 0.2, 0, patients)
    assert sum(part == 'val' for part in split.values()) == 6  # two of ten patients


@pytest.mark.parametrize('fraction', [-0.1, 1, 1.5, float('nan')])
def test_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match=f'val_fraction .* {fraction}'):
        split_videos(make(a=3), fraction, seed=0)
