import math

import numpy as np
import pytest

from uscl.stats.cohesion import measure_cohesion, normalise


def reference(features, video, query):
    """Everything by double loops over frames and pairs."""
    n = len(features)
    unit = [f / math.sqrt(sum(x * x for x in f)) for f in features.astype(float)]
    cosine = [[sum(a * b for a, b in zip(u, v, strict=True)) for v in unit] for u in unit]
    intra = [cosine[i][j] for i in range(n) for j in range(i) if video[i] == video[j]]
    inter = [cosine[i][j] for i in range(n) for j in range(i) if video[i] != video[j]]
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in intra for b in inter)
    correct, chance = 0, 0.0
    gallery = [j for j in range(n) if not query[j]]
    queries = [i for i in range(n) if query[i]]
    for i in queries:
        best = max(gallery, key=lambda j: cosine[i][j])
        correct += video[best] == video[i]
        chance += sum(video[j] == video[i] for j in gallery) / len(gallery)
    return {
        'intra': sorted(intra),
        'inter': sorted(inter),
        'auroc': wins / (len(intra) * len(inter)),
        'retrieval': correct / len(queries),
        'chance': chance / len(queries),
    }


def sample(seed, n=40, channels=6, videos=5, spread=1.0):
    rng = np.random.default_rng(seed)
    video = rng.integers(0, videos, n)
    features = rng.normal(size=(videos, channels))[video] + spread * rng.normal(size=(n, channels))
    return features, video, rng.random(n) < 0.3


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('spread', [0.2, 1.0, 5.0])
def test_against_loops_over_all_pairs(seed, spread):
    features, video, query = sample(seed, spread=spread)
    found, expected = measure_cohesion(features, video, query), reference(features, video, query)
    np.testing.assert_allclose(np.sort(found.intra), expected['intra'], atol=1e-8)
    np.testing.assert_allclose(np.sort(found.inter), expected['inter'], atol=1e-8)
    assert found.num_intra_pairs == len(expected['intra']) and found.num_inter_pairs == len(expected['inter'])
    assert found.gap == pytest.approx(np.mean(expected['intra']) - np.mean(expected['inter']), abs=1e-8)
    assert found.auroc == pytest.approx(expected['auroc'], abs=1e-12)
    assert found.retrieval == pytest.approx(expected['retrieval'])
    assert found.num_correct == pytest.approx(expected['retrieval'] * found.num_queries)
    assert found.chance == pytest.approx(expected['chance'])
    assert (found.num_queries, found.num_gallery) == (query.sum(), (~query).sum())


def assert_same(first, second):
    for name, value in first.scalars().items():
        assert second.scalars()[name] == pytest.approx(value, abs=1e-6), name


def test_neither_rotation_nor_scale_nor_order_nor_names_of_videos_matter():
    features, video, query = sample(0)
    found = measure_cohesion(features, video, query)
    rng = np.random.default_rng(1)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert_same(found, measure_cohesion(features @ rotation, video, query))
    assert_same(found, measure_cohesion(features * rng.uniform(1e-30, 1e30, (len(video), 1)), video, query))
    assert_same(found, measure_cohesion(features * 1e200, video, query))
    order = rng.permutation(len(video))
    assert_same(found, measure_cohesion(features[order], video[order], query[order]))
    assert_same(found, measure_cohesion(features, np.array([70, -3, 12, 5, 0])[video], query))


def test_perfect_clusters():
    video = np.repeat(np.arange(4), 5)
    found = measure_cohesion(np.eye(4)[video], video, np.tile([False] * 4 + [True], 4))
    assert (found.auroc, found.retrieval, found.gap, found.chance) == (1.0, 1.0, 1.0, 0.25)


@pytest.mark.parametrize('value', [0.0, 0.1, 3.0])
def test_identical_features_are_at_chance(value):
    features, video, query = sample(2)
    found = measure_cohesion(np.full_like(features, value), video, query)
    assert found.auroc == 0.5
    assert found.gap == pytest.approx(0, abs=1e-12)
    assert found.retrieval == pytest.approx(found.chance)


def test_shuffled_labels_are_near_chance():
    rng = np.random.default_rng(0)
    video = np.repeat(np.arange(10), 60)
    features = np.eye(10)[video] + 0.2 * rng.normal(size=(600, 10))
    query = rng.random(600) < 0.5
    assert measure_cohesion(features, video, query).retrieval > 0.9
    found = measure_cohesion(features, rng.permutation(video), query)
    deviation = math.sqrt(0.1 * 0.9 / found.num_queries)
    assert abs(found.retrieval - found.chance) < 4 * deviation
    assert abs(found.auroc - 0.5) < 0.02


def test_many_pairs_are_subsampled_the_same_way_every_time():
    features, video, query = sample(3, n=200)
    full = measure_cohesion(features, video, query)
    part = measure_cohesion(features, video, query, max_pairs=500)
    assert (len(part.intra), len(part.inter)) == (500, 500)
    assert (part.num_intra_pairs, part.num_inter_pairs) == (len(full.intra), len(full.inter))
    assert np.isin(part.intra, full.intra).all() and np.isin(part.inter, full.inter).all()
    np.testing.assert_array_equal(part.inter, measure_cohesion(features, video, query, max_pairs=500).inter)
    other = measure_cohesion(features, video, query, max_pairs=500, seed=1)
    assert not np.array_equal(part.inter, other.inter)
    assert abs(part.auroc - full.auroc) < 0.06
    assert part.retrieval == full.retrieval


def test_pairs_are_drawn_without_replacement():
    features, video, query = sample(3, n=200)
    total = measure_cohesion(features, video, query).num_intra_pairs
    part = measure_cohesion(features, video, query, max_pairs=total - 1)
    assert len(np.unique(part.intra)) == total - 1


def test_copies_of_different_length_are_exact_ties():
    _, video, query = sample(2)
    lengths = np.random.default_rng(0).uniform(0.1, 9, len(video))
    found = measure_cohesion(lengths[:, None] * np.random.default_rng(1).normal(size=50), video, query)
    assert found.auroc == 0.5
    assert found.retrieval == pytest.approx(found.chance)


def test_at_the_limit_all_pairs_are_used():
    features, video, query = sample(4)
    total = measure_cohesion(features, video, query).num_inter_pairs
    np.testing.assert_array_equal(
        measure_cohesion(features, video, query, max_pairs=total).inter, measure_cohesion(features, video, query).inter
    )


def test_one_video_has_no_inter_pair():
    found = measure_cohesion(np.random.default_rng(0).normal(size=(6, 3)), np.zeros(6, int), np.arange(6) > 3)
    assert len(found.inter) == 0 and len(found.intra) == 15
    assert math.isnan(found.inter_mean) and math.isnan(found.gap) and math.isnan(found.auroc)
    assert (found.retrieval, found.chance) == (1.0, 1.0)


def test_videos_of_one_frame_have_no_intra_pair():
    found = measure_cohesion(np.eye(3), np.arange(3), np.array([False, False, True]))
    assert len(found.intra) == 0 and len(found.inter) == 3
    assert math.isnan(found.intra_mean) and math.isnan(found.auroc)
    assert (found.retrieval, found.chance) == (0.0, 0.0)  # its video has no gallery frame


@pytest.mark.parametrize('all_queries', [False, True])
def test_without_queries_or_gallery_retrieval_is_undefined(all_queries):
    features, video, query = sample(5)
    found = measure_cohesion(features, video, np.full_like(query, all_queries))
    assert math.isnan(found.retrieval) and math.isnan(found.chance)
    assert not math.isnan(found.auroc)


def test_two_equally_near_frames_share_the_credit():
    features = np.array([[1.0, 0], [1, 0], [0, 1], [1, 0]])
    found = measure_cohesion(features, np.array([0, 1, 1, 0]), np.array([False, False, False, True]))
    assert found.retrieval == 0.5


def test_broken_features_are_counted():
    features, video, query = sample(6)
    features[3, 1], features[3, 2], features[8, 0] = np.nan, np.inf, -np.inf
    with pytest.raises(ValueError, match='2 of 40 features'):
        measure_cohesion(features, video, query)


@pytest.mark.parametrize(
    'features, video, query',
    [
        (np.zeros((0, 3)), np.zeros(0, int), np.zeros(0, bool)),
        (np.zeros(3), np.zeros(3, int), np.zeros(3, bool)),
        (np.zeros((3, 2)), np.zeros(2, int), np.zeros(3, bool)),
        (np.zeros((3, 2)), np.zeros(3, int), np.zeros(2, bool)),
    ],
)
def test_shapes_that_do_not_fit(features, video, query):
    with pytest.raises(ValueError, match='should be'):
        measure_cohesion(features, video, query)


def test_normalise_keeps_zeros_and_extremes():
    unit = normalise(np.array([[3.0, 4.0], [0, 0], [3e300, 4e300], [3e-300, 4e-300]]))
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0], [0.6, 0.8], [0.6, 0.8]])
