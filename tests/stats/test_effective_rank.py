import math

import numpy as np
import pytest

from uscl.stats.effective_rank import effective_rank


def slow_rank(features):
    """From the eigenvalues of the Gram matrix, one by one."""
    values = [math.sqrt(max(value, 0.0)) for value in np.linalg.eigvalsh(features @ features.T)]
    total = sum(values)
    return math.exp(-sum((value / total + 1e-7) * math.log(value / total + 1e-7) for value in values))


@pytest.mark.parametrize('shape', [(5, 9), (9, 9), (12, 30)])
@pytest.mark.parametrize('mean', [0.0, 3.0])
def test_it_is_the_entropy_of_the_singular_values_as_they_are(shape, mean):
    features = np.random.default_rng(0).normal(mean, 1, shape)
    assert effective_rank(features) == pytest.approx(slow_rank(features), rel=1e-5)
    assert effective_rank(features.T) == pytest.approx(effective_rank(features), rel=1e-9)


def test_known_ranks():
    rows, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 6)))
    assert effective_rank(rows.T) == pytest.approx(6, rel=1e-5)  # orthonormal rows
    assert effective_rank(np.ones((10, 7)) * np.arange(1, 8)) == pytest.approx(1, abs=1e-4)
    weighted = np.diag([3.0, 1.0])  # shares 3/4 and 1/4
    assert effective_rank(weighted) == pytest.approx(4 / 3**0.75, rel=1e-5)
    assert effective_rank(np.zeros((4, 3))) == 0


@pytest.mark.parametrize('scale', [1e-30, 1e-3, 1e30])
def test_the_scale_does_not_matter(scale):
    features = np.random.default_rng(1).normal(size=(8, 5)).astype(np.float32)
    assert effective_rank(features * np.float32(scale)) == pytest.approx(effective_rank(features), rel=1e-4)


@pytest.mark.parametrize('features', [np.zeros((0, 3)), np.zeros(3), np.array([[np.nan]]), np.array([[np.inf]])])
def test_what_has_no_rank(features):
    with pytest.raises(ValueError, match='features should be'):
        effective_rank(features)
