"""Pairs close in time, against the definition enumerated in full."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from uscl_plugin.datasets.transforms import SampleNearbyPair
from uscl_plugin.datasets.transforms.nearby_pair import draw_nearby, pair_weight
from uscl_plugin.datasets.video_clusters import VideoClusterDataset


def probabilities(frames, reach):
    """Of every pair: i uniform over all frames, j uniform over those within reach."""
    found = {}
    for i in range(frames):
        near = [j for j in range(frames) if abs(i - j) <= reach]
        found |= {(i, j): 1 / frames / len(near) for j in near}
    return found


@pytest.mark.parametrize(('frames', 'reach'), [(1, 4), (2, 1), (5, 0), (5, 2), (5, 4), (5, 9)])
def test_pairs_are_drawn_as_defined(frames, reach):
    rng = np.random.default_rng(0)
    drawn = Counter(draw_nearby(frames, reach, rng) for _ in range(8000))
    expected = probabilities(frames, reach)
    assert drawn.keys() == expected.keys()
    for pair, probability in expected.items():
        assert drawn[pair] / 8000 == pytest.approx(probability, abs=4 * (probability / 8000) ** 0.5)


def test_weights_fall_linearly_from_one():
    for reach in (0, 1, 4, 45):
        weights = [pair_weight(distance, reach) for distance in range(reach + 1)]
        expected = [float(Fraction(reach - d + 1, reach + 1)) for d in range(reach + 1)]
        assert weights == expected and weights[0] == 1 and weights[-1] == 1 / (reach + 1)


def sample(frames=30, fps=3.0, **settings):
    return SampleNearbyPair(**settings)({'frames': [0] * frames, 'fps': fps, 'video_id': 'a/v'})


@pytest.mark.parametrize(
    ('delta_t', 'fps', 'reach'), [(1.5, 3.0, 4), (1.5, 30.0, 45), (0.29, 100.0, 29), (0.3, 3.0, 0), (0.0, 25.0, 0)]
)
def test_seconds_are_counted_in_frames_of_the_clip(delta_t, fps, reach):
    np.random.seed(0)
    distances = []
    for _ in range(1500):
        found = sample(200, fps, delta_t=delta_t)
        distances.append(abs(int(np.diff(found['frame_inds'])[0])))
        assert found['pair_weight'] == pytest.approx((reach - distances[-1] + 1) / (reach + 1))
    assert max(distances) == reach and min(distances) == 0


def test_without_weights_all_pairs_count_alike():
    assert {sample(delta_t=3.0, weighted=False)['pair_weight'] for _ in range(50)} == {1.0}


def test_the_rate_is_that_of_the_annotation_or_given(make_clusters, tmp_path):
    data = make_clusters(tmp_path, {'a/v0': (12, 'a'), 'a/v1': (1, 'a')})  # at 3 frames per second
    dataset = VideoClusterDataset(str(data), pipeline=[SampleNearbyPair(1.0)])
    pairs = []
    for epoch in range(200):
        dataset.set_epoch(epoch)
        pairs.append(dataset[0]['frame_inds'])
    assert np.abs(np.diff(pairs)).max() == 3
    assert dataset[1]['frame_inds'].tolist() == [0, 0] and dataset[1]['pair_weight'] == 1
    with pytest.raises(ValueError, match=r"'a/v' has no frame rate.*SampleNearbyPair"):
        sample(fps=None, delta_t=1.0)
    assert sample(frames=1, fps=None, delta_t=1.0)['pair_weight'] == 1
    found = SampleNearbyPair(1.0, fps=10)({'frames': [0] * 5, 'fps': None})
    assert 1 / 11 <= found['pair_weight'] <= 1


@pytest.mark.parametrize('settings', [dict(delta_t=-1), dict(delta_t=float('nan')), dict(delta_t=1, fps=0)])
def test_settings_out_of_range(settings):
    with pytest.raises(ValueError, match=r'(delta_t|fps) should'):
        SampleNearbyPair(**settings)
