import numpy as np

from uscl.data.annotations import read_annotations
from uscl.data.synthetic_videos import speckle, write_synthetic_videos
from uscl.data.video_folder import VideoFolder


def test_speckle_has_rayleigh_contrast():
    """Fully developed speckle: the amplitude's mean over its standard deviation is 1.91, whatever the grain."""
    grey = speckle(512, 512, np.random.default_rng(0)).astype(float)
    amplitude = 10 ** (grey[grey > 0] * 50 / 255 / 20)
    assert abs(amplitude.mean() / amplitude.std() - 1.91) < 0.1


def test_clips_are_as_asked_and_the_same_each_time(tmp_path):
    folders = [write_synthetic_videos(tmp_path / name, videos=3, frames=4, size=40) for name in 'ab']
    entries = [read_annotations(folder / 'annotations.json')['data_list'] for folder in folders]
    assert entries[0] == entries[1]
    assert [entry['num_frames'] for entry in entries[0]] == [4, 4, 4]
    assert len({entry['label'] for entry in entries[0]}) == 2
    first, second = (VideoFolder(folder) for folder in folders)
    for k in range(3):
        assert first[k]['frames'].shape == (4, 40, 40)
        np.testing.assert_array_equal(first[k]['frames'], second[k]['frames'])
    assert not np.array_equal(first[0]['frames'], first[1]['frames'])
