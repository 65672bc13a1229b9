import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from uscl_plugin.datasets.transforms import SampleHardNegatives


def test_frames_get_nearer_with_progress():
    sample = SampleHardNegatives(num_negatives=40)
    np.random.seed(0)
    first, last = (sample(dict(frames=[0] * 100, progress=progress))['frame_inds'] for progress in (0.0, 0.99))
    assert first.shape == last.shape == (42,) and first.dtype == np.int64
    distances = [np.abs(inds[2:] - inds[0]) for inds in (first, last)]
    assert distances[0].min() >= 20 and distances[1].max() <= 6


def test_draws_depend_on_seed_epoch_and_video_and_the_range_on_the_length_of_the_run(make_clusters, tmp_path):
    data = make_clusters(tmp_path / 'data', {'a/one': (60, 'a'), 'a/two': (60, 'a')}, size=8)
    pipeline = [dict(type='SampleHardNegatives')]
    dataset = DATASETS.build(dict(type='VideoClusterDataset', data_root=str(data), pipeline=pipeline))

    def draw(epoch, seed=0, num_epochs=10, index=0):
        dataset.set_epoch(epoch, seed, num_epochs)
        item = dataset[index]
        assert item['progress'] == epoch / num_epochs
        return item['frame_inds'].tolist()

    assert draw(3) == draw(3) != draw(4)
    assert draw(3) != draw(3, seed=1) and draw(3) != draw(3, index=1)
    assert draw(3) == draw(3, num_epochs=6)  # in its first half, a run's length changes nothing
    assert draw(9) != draw(9, num_epochs=100)
    dataset.set_epoch(3)  # not in a run
    assert dataset[0]['progress'] is None


def test_settings_and_videos_that_are_refused():
    with pytest.raises(ValueError, match=r'num_negatives .*0'):
        SampleHardNegatives(0)
    with pytest.raises(ValueError, match="'v7'"):
        SampleHardNegatives()(dict(frames=[], video_id='v7'))
    assert repr(SampleHardNegatives(2)) == 'SampleHardNegatives(num_negatives=2)'
