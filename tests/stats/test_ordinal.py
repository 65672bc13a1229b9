import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from uscl.stats.ordinal import quadratic_kappa


@pytest.mark.parametrize('classes', [2, 4])
def test_it_is_scikit_learns(classes):
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, 200)
    tables, expected = [], []
    for noise in (0, 1, classes):
        predicted = np.clip(labels + rng.integers(-noise, noise + 1, 200), 0, classes - 1)
        tables.append(confusion_matrix(labels, predicted, labels=range(classes)))
        expected.append(cohen_kappa_score(labels, predicted, weights='quadratic'))
    np.testing.assert_allclose(quadratic_kappa(np.stack(tables)), expected, atol=1e-12)


def test_one_class_alone_has_no_kappa():
    assert np.isnan(quadratic_kappa(np.diag([5, 0, 0]))) and quadratic_kappa(np.array([[0, 5], [5, 0]])) == -1
