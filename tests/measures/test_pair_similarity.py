"""Means over pairs against double loops over them, and the properties that give the measures their sense."""

import math

import pytest
import torch

from uscl_plugin.measures.pair_similarity import (
    batch_conflict,
    batch_negative_similarity,
    mean_direction,
    paired_similarity,
    queue_conflict,
    spread,
)


def cosine(a, b):
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def negatives(n):
    """Ordered pairs of the 2N views that are neither one view nor partners."""
    return [(i, j) for i in range(2 * n) for j in range(2 * n) if i != j and i % n != j % n]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def draw(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


GRID = [(n, d, dtype) for n in (2, 3, 8) for d in (1, 5, 32) for dtype in (torch.float64, torch.float32)]


@pytest.mark.parametrize('n, d, dtype', GRID)
def test_pairs_of_a_batch_against_loops(n, d, dtype):
    first, second = draw(n * d, 2, n, d, dtype=dtype) * 3
    second = first + 0.5 * second
    views = [*first.tolist(), *second.tolist()]
    close = 1e-9 if dtype == torch.float64 else 2e-6
    positive, negative = paired_similarity(first, second), batch_negative_similarity(first, second)
    assert positive.dtype == negative.dtype == dtype and positive.ndim == negative.ndim == 0
    assert positive.item() == pytest.approx(mean(cosine(views[i], views[i + n]) for i in range(n)), abs=close)
    assert negative.item() == pytest.approx(mean(cosine(views[i], views[j]) for i, j in negatives(n)), abs=close)


@pytest.mark.parametrize('n, k, d', [(1, 1, 3), (3, 7, 1), (4, 20, 6), (9, 2, 16)])
def test_product_of_mean_directions_is_the_mean_over_all_pairs(n, k, d):
    queries, keys = draw(n, n, d), draw(k + 100, k, d)
    expected = mean(cosine(q, key) for q in queries.tolist() for key in keys.tolist())
    assert (mean_direction(queries) @ mean_direction(keys)).item() == pytest.approx(expected, abs=1e-12)


def test_many_similar_views_lose_no_digits():
    first, second = (1 + 0.01 * draw(seed, 512, 256, dtype=torch.float32) for seed in (0, 1))
    exact = batch_negative_similarity(first.double(), second.double()).item()
    assert 0.999 < exact < 1
    assert batch_negative_similarity(first, second).item() == pytest.approx(exact, abs=2e-6)


def test_a_zero_vector_is_similar_to_nothing():
    first, second = draw(0, 2, 4, 5)
    first[1] = 0
    views = [*first.tolist(), *second.tolist()]
    expected = mean(cosine(views[i], views[j]) for i, j in negatives(4))
    assert batch_negative_similarity(first, second).item() == pytest.approx(expected, abs=1e-9)
    assert paired_similarity(first[1:2], second[1:2]) == 0


def test_half_precision_is_computed_in_float32():
    first, second = draw(0, 2, 16, 64, dtype=torch.bfloat16)
    for measure in (paired_similarity, batch_negative_similarity):
        assert measure(first, second).dtype == torch.float32
        exact = measure(first.double(), second.double()).item()
        assert measure(first, second).item() == pytest.approx(exact, abs=1e-6)
    assert spread(first).dtype == torch.float32
    assert spread(first).item() == pytest.approx(spread(first.double()).item(), rel=1e-5)


@pytest.mark.parametrize('n, c', [(2, 3), (5, 1), (9, 16)])
def test_spread_against_loops(n, c):
    features = draw(n, n, c) + 0.3
    unit = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in features.tolist()]
    deviations = []
    for channel in zip(*unit, strict=True):
        centre = mean(channel)
        deviations.append(math.sqrt(sum((x - centre) ** 2 for x in channel) / (n - 1)))
    assert spread(features).item() == pytest.approx(math.sqrt(c) * mean(deviations), rel=1e-9)


def test_spread_is_one_for_orthogonal_and_isotropic_features_and_zero_when_collapsed():
    assert spread(7 * torch.eye(16)).item() == pytest.approx(1, rel=1e-6)
    assert spread(draw(0, 4096, 64)).item() == pytest.approx(1, rel=0.01)
    assert spread(draw(0, 1, 64).expand(32, 64)).item() == pytest.approx(0, abs=1e-7)
    assert spread(draw(0, 1, 64) * torch.arange(1, 9)[:, None]).item() == pytest.approx(0, abs=1e-7)  # length is none
    assert 0 < spread(draw(0, 4096, 64).relu()).item() < 1


@pytest.mark.parametrize('videos', ['ab', 'aa', 'abcdefgh', 'aabbbc', 'aaaa', 'abca'])
def test_conflict_of_a_batch_against_loops(videos):
    n = len(videos)
    same = [videos[i % n] == videos[j % n] for i, j in negatives(n)]
    assert batch_conflict(videos) == sum(same) / len(same)
    assert (batch_conflict(videos) == 0) == (len(set(videos)) == n)


@pytest.mark.parametrize('queue', ['a', 'xyz', 'aab', [None, None, 'a', 'b'], [None] * 3])
def test_conflict_with_a_queue_against_loops(queue):
    for videos in ('a', 'ab', 'aacb'):
        same = [video == other for video in videos for other in queue]
        assert queue_conflict(videos, queue) == sum(same) / len(same)


def test_what_has_no_pair_is_refused():
    one, two = torch.ones(1, 3), torch.ones(2, 3)
    assert paired_similarity(one, one).item() == pytest.approx(1)
    for call in (
        lambda: paired_similarity(one, two),
        lambda: paired_similarity(one[:0], one[:0]),
        lambda: batch_negative_similarity(one, one),
        lambda: batch_negative_similarity(two[0], two[0]),
        lambda: mean_direction(one[0]),
        lambda: mean_direction(one[:0]),
        lambda: spread(one),
        lambda: spread(torch.ones(2, 3, 4, 4)),
        lambda: batch_conflict(['a']),
        lambda: queue_conflict([], ['a']),
        lambda: queue_conflict(['a'], []),
    ):
        with pytest.raises(ValueError, match=r'got '):
            call()
