import numpy as np
import pytest
import torch
from scipy import stats

from uscl.stats.training_features import distance_limit, summarise_training
from uscl_plugin.evaluation.training_features import KEY, add_training_features, as_plain, read_training_features
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint


def slow_distance(clip, train):
    """1 minus the largest cosine to a training clip."""
    return min(1 - clip @ b / np.linalg.norm(clip) / np.linalg.norm(b) for b in train)


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    return rng.normal(0.5, 1, (30, 8)).astype(np.float32), rng.normal(0.5, 1, (12, 8)).astype(np.float32)


def test_distances_are_those_of_the_nearest_training_clip(drawn):
    train, held_out = drawn
    found = summarise_training(train, [0] * 30, held_out)
    expected = [slow_distance(clip, train) for clip in held_out]
    assert found.held_out == 12 and found.features.dtype == np.float16
    np.testing.assert_allclose(found.quantiles, np.percentile(expected, range(101)), atol=2e-3)  # half precision
    frames = np.random.default_rng(1).normal(0.5, 1, (5, 8)).astype(np.float32)
    assert found.distance(frames) == pytest.approx(slow_distance(frames.mean(axis=0), train), abs=2e-3)
    assert found.distance(train[4:5]) == pytest.approx(0, abs=2e-3)


def test_the_limit_is_exceeded_as_rarely_as_it_says():
    """Of clips like those held out, about 1 % are farther away, however few were held out."""
    rng = np.random.default_rng(0)
    for count in (5, 10, 40, 400):
        exceeded = [rng.lognormal() > distance_limit(rng.lognormal(size=count)) for _ in range(4000)]
        assert 0.002 < np.mean(exceeded) < 0.016, count
    assert distance_limit(np.ones(4)) is None


def test_the_limit_of_few_is_a_prediction_limit():
    logs = np.array([-2.0, -1.5, -1.9, -1.2, -1.0, -1.7])
    expected = np.exp(logs.mean() + stats.t.ppf(0.99, 5) * logs.std(ddof=1) * np.sqrt(1 + 1 / 6))
    assert distance_limit(np.exp(logs)) == pytest.approx(expected)
    assert distance_limit(np.zeros(7)) < 1e-6  # nothing is infinite


def test_unusual_clips(drawn):
    train, held_out = drawn
    found = summarise_training(train, [0] * 30, held_out)
    assert found.is_unusual(found.limit + 0.01) is True and found.is_unusual(found.limit - 0.01) is False
    unknown = summarise_training(train, [0] * 30, held_out[:4])
    assert unknown.limit is None and unknown.held_out == 4 and unknown.is_unusual(2.0) is None
    assert summarise_training(train, [0] * 30, held_out[:0]).quantiles == []


def test_many_clips_are_thinned_evenly_by_class(drawn):
    train = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    labels = [0] * 90 + [1] * 6 + [2] * 4
    found = summarise_training(train, labels, train[:0], most=30)
    whole = summarise_training(train, labels, train[:0])
    kept = [int(np.flatnonzero((whole.features == row).all(axis=1))[0]) for row in found.features]
    assert len(whole.features) == 100 and len(kept) == 30
    assert np.bincount(np.array(labels)[kept]).tolist() == [20, 6, 4]
    assert max(np.diff([k for k in kept if k < 90])) <= 5  # from all over the class


def test_they_are_kept_in_a_plain_checkpoint(drawn, tmp_path):
    train, held_out = drawn
    torch.save({'state_dict': {'a': torch.ones(2)}, 'meta': {'epoch': 3}}, tmp_path / 'a.pth')
    assert read_training_features(load_plain_checkpoint(tmp_path / 'a.pth'), 'a.pth', 8) is None
    found = summarise_training(train, [0] * 30, held_out)
    add_training_features(tmp_path / 'a.pth', found)
    checkpoint = load_plain_checkpoint(tmp_path / 'a.pth')
    assert checkpoint['meta'] == {'epoch': 3} and torch.equal(checkpoint['state_dict']['a'], torch.ones(2))
    assert type(checkpoint[KEY]) is dict
    again = read_training_features(checkpoint, 'a.pth', 8)
    assert again.distance(held_out) == found.distance(held_out) and again.limit == found.limit
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


@pytest.mark.parametrize(
    'changes',
    [
        {'features': torch.ones(3, 7)},
        {'features': torch.ones(0, 8)},
        {'features': 1},
        {'limit': float('nan')},
        {'more': 1},
    ],
    ids=str,
)
def test_other_forms_are_refused(drawn, changes):
    stored = as_plain(summarise_training(drawn[0], [0] * 30, drawn[1]))
    with pytest.raises(CheckpointError, match=r'a\.pth'):
        read_training_features({KEY: stored | changes}, 'a.pth', 8)
    with pytest.raises(CheckpointError, match=r'a\.pth'):
        read_training_features({KEY: 'text'}, 'a.pth', 8)
