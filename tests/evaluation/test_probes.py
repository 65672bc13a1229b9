from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from uscl.stats.predictions import Predictions
from uscl_plugin.evaluation.probes import PROBES, as_linear_layer, run_probe, selection_quality


def problem(seed=0, n=120, classes=3, dim=6, spread=1.5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    features = (rng.normal(size=(classes, dim))[labels] + spread * rng.normal(size=(n, dim))).astype(np.float32)
    names = np.array([f'{k}' for k in range(n)])
    frames = Predictions(np.full((n, classes), 1 / classes), labels, names, names, names)
    sides = np.array(['train', 'train', 'val', 'test'])[rng.integers(0, 4, n)]
    return features, frames, sides


def slow_knn(train, labels, test, k, classes):
    """Votes of the k most similar, weighted by the inverse of 1 - cosine similarity."""
    unit = train / np.linalg.norm(train, axis=1, keepdims=True)
    rows = []
    for x in test:
        distance = 1 - unit @ (x / np.linalg.norm(x))
        nearest = np.argsort(distance)[:k]
        votes = np.zeros(classes)
        for j in nearest:
            votes[labels[j]] += 1 / distance[j]
        rows.append(votes / votes.sum())
    return np.array(rows)


@pytest.mark.parametrize('seed', range(3))
def test_knn_is_the_slow_reference(seed):
    features, frames, sides = problem(seed)
    result = run_probe('knn', features, frames, sides)
    fit = (sides == 'train') | (sides == 'val')
    for selection, k in result.settings.items():
        wanted = slow_knn(
            features[fit].astype(float), frames.labels[fit], features[sides == 'test'].astype(float), k, 3
        )
        np.testing.assert_allclose(result.predictions[selection].probabilities, wanted, atol=1e-9)


@pytest.mark.parametrize('classes', [2, 3])
def test_the_linear_probe_is_a_linear_layer(classes):
    features, frames, sides = problem(1, classes=classes)
    result = run_probe('linear', features, frames, sides)
    weight, bias = as_linear_layer(result.classifier, classes)
    logits = features[sides == 'test'] @ weight.T + bias
    softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax /= softmax.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.predictions['inner-val'].probabilities, softmax, atol=1e-6)


@pytest.mark.parametrize('kind', ['linear', 'knn'])
@pytest.mark.parametrize('seed', range(4))
def test_selections_look_only_where_they_say(kind, seed):
    features, frames, sides = problem(seed, spread=2.5)
    result = run_probe(kind, features, frames, sides)
    probe = PROBES[kind]
    assert result.settings['fixed'] == probe.fixed
    quality = {name: selection_quality(p.probabilities, p.labels) for name, p in result.predictions.items()}
    assert quality['best-on-test'] == max(quality.values())
    # Other test labels change what is best on the test part, and nothing else.
    labels = frames.labels.copy()
    labels[sides == 'test'] = np.random.default_rng(seed).permutation(labels[sides == 'test'])
    shuffled = Predictions(frames.probabilities, labels, frames.videos, frames.groups, frames.paths)
    other = run_probe(kind, features, shuffled, sides)
    for name in ('fixed', 'inner-val'):
        assert other.settings[name] == result.settings[name]
        np.testing.assert_array_equal(other.predictions[name].probabilities, result.predictions[name].probabilities)
    assert 'inner-val' not in run_probe(kind, features, frames, np.where(sides == 'val', 'train', sides)).settings


def test_the_linear_probe_is_scikit_learns_logistic_regression():
    features, frames, sides = problem(2)
    result = run_probe('linear', features, frames, sides)
    fit, test = (sides == 'train') | (sides == 'val'), sides == 'test'
    scaler = StandardScaler().fit(features[fit].astype(float))
    model = LogisticRegression(C=1.0, max_iter=5000).fit(scaler.transform(features[fit]), frames.labels[fit])
    wanted = model.predict_proba(scaler.transform(features[test]))
    np.testing.assert_allclose(result.predictions['fixed'].probabilities, wanted, atol=1e-3)


@pytest.mark.parametrize('kind', ['linear', 'knn'])
def test_a_class_that_is_not_trained_on_has_probability_zero(kind):
    features, frames, sides = problem(3)
    sides = np.where((frames.labels == 1) & (sides != 'test'), '', sides)
    found = run_probe(kind, features, frames, sides).predictions['fixed'].probabilities
    assert found.shape[1] == 3
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_selection_quality_breaks_ties_by_cross_entropy():
    labels = np.array([0, 1])
    sure, unsure = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.6, 0.4], [0.4, 0.6]])
    wrong = np.array([[0.1, 0.9], [0.1, 0.9]])
    assert selection_quality(sure, labels) > selection_quality(unsure, labels) > selection_quality(wrong, labels)
    np.testing.assert_allclose(selection_quality(sure, labels)[1], np.log(0.9))


def test_a_probe_is_fitted_on_one_thread_and_leaves_the_others_alone(monkeypatch):
    features, frames, sides = problem(2)
    found = []

    def make(strength, num_frames):
        made = PROBES['knn'].make(5, num_frames)
        fit = made.fit

        def noted(*arguments):
            found.extend(pool['num_threads'] for pool in threadpool_info())
            return fit(*arguments)

        made.fit = noted
        return made

    with threadpool_limits(2):
        before = [pool['num_threads'] for pool in threadpool_info()]
        monkeypatch.setitem(PROBES, 'linear', replace(PROBES['linear'], make=make))
        run_probe('linear', features, frames, sides)
        assert [pool['num_threads'] for pool in threadpool_info()] == before
    assert 2 in before and set(found) == {1}
