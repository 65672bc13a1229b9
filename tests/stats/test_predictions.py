import numpy as np
import pytest

from uscl.stats.predictions import Predictions, concatenate


def random_predictions(rng, videos=7, classes=3):
    names = np.repeat([f'v{k}' for k in range(videos)], rng.integers(1, 6, videos))
    rng.shuffle(names)
    label = {name: k % classes for k, name in enumerate(np.unique(names))}
    scores = rng.dirichlet(np.ones(classes), len(names))
    labels = np.array([label[name] for name in names])
    return Predictions(
        scores, labels, names, np.array([f'p{n[1:]}' for n in names]), np.array([f'{k}' for k in range(len(names))])
    )


@pytest.mark.parametrize('seed', range(5))
def test_a_videos_probability_is_the_mean_of_its_frames(seed):
    frames = random_predictions(np.random.default_rng(seed))
    videos = frames.by_video()
    assert list(videos.videos) == list(dict.fromkeys(frames.videos))  # in the order of their first frame
    for k, name in enumerate(videos.videos):
        own = np.flatnonzero(frames.videos == name)
        np.testing.assert_allclose(videos.probabilities[k], frames.probabilities[own].mean(axis=0))
        assert videos.labels[k] == frames.labels[own[0]]
        assert videos.groups[k] == frames.groups[own[0]]
        assert videos.paths[k] == frames.paths[own[len(own) // 2]]
    np.testing.assert_allclose(videos.by_video().probabilities, videos.probabilities)


def test_round_trip_and_concatenation(tmp_path):
    rng = np.random.default_rng(0)
    first, second = random_predictions(rng), random_predictions(rng)
    first.save(tmp_path / 'a' / 'x.npz')
    both = concatenate([Predictions.load(tmp_path / 'a' / 'x.npz'), second])
    for name, value in vars(both).items():
        np.testing.assert_array_equal(value, np.concatenate([getattr(first, name), getattr(second, name)]))


def test_errors():
    one = np.array(['a', 'a'])
    with pytest.raises(ValueError, match=r'2 frames .* first a: '):
        Predictions(np.full((2, 3), np.nan), np.zeros(2, int), one, one, one)
    with pytest.raises(ValueError, match=r'row'):
        Predictions(np.ones((3, 3)), np.zeros(2, int), one, one, one)
    mixed = Predictions(np.full((2, 3), 1 / 3), np.array([0, 1]), one, one, one)
    with pytest.raises(ValueError, match=r"\['a'\]"):
        mixed.by_video()
