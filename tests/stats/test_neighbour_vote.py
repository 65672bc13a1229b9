"""The nearest-neighbour vote, clip by clip."""

import numpy as np
import pytest

from uscl.stats.neighbour_vote import neighbour_vote


def by_hand(features, labels, groups, count):
    patients = {label: {g for k, g in zip(labels, groups, strict=True) if k == label} for label in set(labels)}
    asked = [i for i, label in enumerate(labels) if label >= 0 and len(patients[label]) > 1]
    classes = sorted({labels[i] for i in asked})
    right = {label: [] for label in classes}
    for i in asked:
        others = [j for j in asked if groups[j] != groups[i]]
        cosine = {
            j: features[i] @ features[j] / np.linalg.norm(features[i]) / np.linalg.norm(features[j]) for j in others
        }
        nearest = sorted(others, key=lambda j: -cosine[j])[:count]
        votes = {label: sum((1 + cosine[j]) / 2 for j in nearest if labels[j] == label) for label in classes}
        right[labels[i]].append(max(classes, key=lambda label: votes[label]) == labels[i])
    return np.mean([np.mean(each) for each in right.values()])


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('count', [1, 5, 50])
def test_by_its_definition(seed, count):
    rng = np.random.default_rng(seed)
    labels, groups = rng.integers(-1, 3, 40), rng.integers(0, 12, 40)
    features = rng.normal(size=(40, 8)) + labels[:, None]
    assert neighbour_vote(features, labels, groups, count) == pytest.approx(by_hand(features, labels, groups, count))


def test_a_patients_own_clips_do_not_vote():
    """Two clips of a patient are equal, and the other patient of the class is far away."""
    features = np.eye(4)[[0, 0, 1, 1, 2, 2, 3, 3]]
    labels, groups = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2, 3, 3])
    assert neighbour_vote(features, labels, np.arange(8), 1) == 1
    assert neighbour_vote(features, labels, groups, 1) < 1


def test_nothing_can_be_said_of_one_class_or_of_lone_patients():
    features = np.random.default_rng(0).normal(size=(4, 3))
    assert np.isnan(neighbour_vote(features, np.zeros(4, int), np.arange(4)))
    assert np.isnan(neighbour_vote(features, np.arange(4), np.arange(4)))
    assert np.isnan(neighbour_vote(features, np.full(4, -1), np.arange(4)))
