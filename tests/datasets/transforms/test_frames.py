from itertools import combinations

import cv2
import numpy as np
import pytest

from uscl_plugin.datasets.transforms import LoadVideoFrames, SampleVideoFrames


@pytest.mark.parametrize('num_available', [1, 2, 3, 7])
@pytest.mark.parametrize('num_frames', [1, 2, 3])
def test_frames_are_distinct_ordered_and_as_many_as_there_are(num_available, num_frames):
    sample = SampleVideoFrames(num_frames)
    for _ in range(50):
        inds = sample(dict(frames=list(range(num_available))))['frame_inds']
        assert len(inds) == min(num_frames, num_available)
        assert (np.diff(inds) > 0).all()
        assert inds.min() >= 0 and inds.max() < num_available


def test_every_triplet_is_as_likely():
    np.random.seed(0)
    counts = dict.fromkeys(combinations(range(5), 3), 0)
    sample = SampleVideoFrames(3)
    for _ in range(5000):
        counts[tuple(sample(dict(frames=[0] * 5))['frame_inds'])] += 1
    assert max(abs(n - 500) for n in counts.values()) < 5 * np.sqrt(5000 * 0.1 * 0.9)


def test_a_replayed_draw_gives_the_same_frames(monkeypatch):
    monkeypatch.setattr(np.random, 'choice', lambda *args, **kwargs: np.array([4, 0, 2]))
    assert SampleVideoFrames(3)(dict(frames=[0] * 5))['frame_inds'].tolist() == [0, 2, 4]


def test_bad_settings_and_empty_videos():
    with pytest.raises(ValueError, match=r'num_frames .*0'):
        SampleVideoFrames(0)
    with pytest.raises(ValueError, match="'v7'"):
        SampleVideoFrames()(dict(frames=[], video_id='v7'))


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    color = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    grey = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'color.png'), color)
    cv2.imwrite(str(tmp_path / 'grey.png'), grey)
    return tmp_path, color, grey


def test_files_and_arrays_are_loaded_alike_in_bgr(pictures):
    folder, color, grey = pictures
    sources = [str(folder / 'color.png'), str(folder / 'grey.png'), color, grey, grey[..., None]]
    imgs = LoadVideoFrames()(dict(frames=sources, frame_inds=np.arange(5)))['imgs']
    expected = [color, np.dstack([grey] * 3), color, np.dstack([grey] * 3), np.dstack([grey] * 3)]
    for img, reference in zip(imgs, expected, strict=True):
        assert img.dtype == np.uint8
        np.testing.assert_array_equal(img, reference)


def test_only_the_sampled_frames_are_read_in_their_order(pictures):
    _, color, grey = pictures
    results = dict(frames=['missing.png', grey, color], frame_inds=np.array([1, 2]))
    imgs = LoadVideoFrames()(results)['imgs']
    np.testing.assert_array_equal(imgs[0][..., 0], grey)
    np.testing.assert_array_equal(imgs[1], color)


def test_grayscale_repeats_one_channel(pictures):
    folder, color, grey = pictures
    results = dict(frames=[str(folder / 'color.png'), color, grey], frame_inds=range(3))
    imgs = LoadVideoFrames('grayscale')(results)['imgs']
    expected = cv2.cvtColor(color, cv2.COLOR_BGR2GRAY)
    for img, reference in zip(imgs, [expected, expected, grey], strict=True):
        assert abs(img.astype(int) - reference[..., None]).max() <= 1  # libpng's grey conversion rounds differently
        assert img.shape == (20, 30, 3)


def test_missing_and_broken_files_are_named(tmp_path):
    load = LoadVideoFrames()
    with pytest.raises(FileNotFoundError, match=r"gone.png of video 'v'"):
        load(dict(frames=[str(tmp_path / 'gone.png')], frame_inds=[0], video_id='v'))
    for name, content in {'empty.png': b'', 'text.png': b'hello'}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} of video 'v'"):
            load(dict(frames=[str(tmp_path / name)], frame_inds=[0], video_id='v'))
    with pytest.raises(ValueError, match=r'float64'):
        load(dict(frames=[np.zeros((4, 4))], frame_inds=[0]))
    with pytest.raises(ValueError, match=r"color_type .*\('color', 'grayscale', 'unchanged'\)"):
        LoadVideoFrames('rgb')
