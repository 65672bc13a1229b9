import numpy as np
import pytest
from scipy import stats

from uscl_plugin.datasets.transforms import MixFrames

RNG = np.random.default_rng(0)
IMGS = [RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8) for _ in range(3)]


def by_hand(first, anchor, ratio):
    view = np.empty(first.shape)
    for index in np.ndindex(first.shape):
        view[index] = ratio * int(first[index]) + (1 - ratio) * int(anchor[index])
    return view


@pytest.mark.parametrize('shared', [True, False])
@pytest.mark.parametrize('dtype', ['float32', 'uint8'])
@pytest.mark.parametrize('seed', range(5))
def test_views_equal_the_equation_pixel_by_pixel(shared, dtype, seed):
    np.random.seed(seed)
    results = MixFrames(shared_ratio=shared, out_dtype=dtype)(dict(imgs=IMGS))
    first, second = results['mix_ratios']
    assert (first == second) == shared
    for view, frame, ratio in zip(results['img'], [IMGS[0], IMGS[2]], [first, second], strict=True):
        assert view.dtype == dtype
        reference = by_hand(frame, IMGS[1], ratio)
        np.testing.assert_allclose(view, reference.round() if dtype == 'uint8' else reference, atol=1e-4)


@pytest.mark.parametrize('ratios, expected', [((0, 0), (1, 1)), ((1, 1), (0, 2)), ((0, 1), (1, 2))])
def test_ratio_zero_is_the_anchor_and_one_the_perturbation(monkeypatch, ratios, expected):
    monkeypatch.setattr(MixFrames, '_sample_params', lambda self: ratios)
    views = MixFrames()(dict(imgs=IMGS))['img']
    for view, index in zip(views, expected, strict=True):
        np.testing.assert_array_equal(view, IMGS[index])


@pytest.mark.parametrize('alpha, beta', [(0.5, 0.5), (2.0, 5.0)])
def test_ratios_follow_the_beta_distribution(alpha, beta):
    np.random.seed(0)
    mix = MixFrames(alpha, beta)
    ratios = np.array([mix._sample_params() for _ in range(3000)])
    for column in ratios.T:
        assert stats.kstest(column, stats.beta(alpha, beta).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(ratios.T)[0, 1]) < 0.08


@pytest.mark.parametrize('dtype', ['float32', 'uint8'])
def test_two_frames_are_the_pair_and_one_is_used_twice(dtype):
    for imgs in (IMGS[:2], IMGS[:1]):
        results = MixFrames(out_dtype=dtype)(dict(imgs=imgs))
        assert results['mix_ratios'] == ()
        np.testing.assert_array_equal(results['img'][0], imgs[0])
        np.testing.assert_array_equal(results['img'][1], imgs[-1])
        assert results['img'][0].dtype == dtype
    first, second = results['img']  # writing into a view must not reach the other one or the frame
    first[:] = 0
    np.testing.assert_array_equal(second, IMGS[0])


@pytest.mark.parametrize('imgs', [[], IMGS + IMGS[:1], [IMGS[0], IMGS[1][:4], IMGS[2]]])
def test_wrong_frames_are_refused(imgs):
    with pytest.raises(ValueError, match=r"MixFrames .*'v3'.*SampleVideoFrames"):
        MixFrames()(dict(imgs=imgs, video_id='v3'))


@pytest.mark.parametrize('settings', [dict(alpha=0), dict(beta=-1), dict(out_dtype='float64')])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=r'should be'):
        MixFrames(**settings)
