"""Data sets with a frame store against the same data sets without."""

import shutil

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from uscl.data.annotations import read_annotations
from uscl.data.frame_packing import pack_frames
from uscl_plugin.datasets.transforms import LoadFrame, LoadVideoFrames, MixFrames, SampleVideoFrames
from uscl_plugin.datasets.video_clusters import VideoClusterDataset
from uscl_plugin.datasets.video_frames import VideoFrameDataset

PIPELINE = [SampleVideoFrames(3), LoadVideoFrames(), MixFrames()]


@pytest.fixture(scope='module')
def stored(clusters, tmp_path_factory):
    folder = shutil.copytree(clusters, tmp_path_factory.mktemp('stored') / 'data')
    pack_frames(folder, read_annotations(folder / 'annotations.json')['data_list'])
    return folder


@pytest.fixture(scope='module')
def only_store(stored, tmp_path_factory):
    """Annotation and store, no image file."""
    return shutil.copytree(stored, tmp_path_factory.mktemp('only') / 'data', ignore=shutil.ignore_patterns('frames'))


def equal(one, other):
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('frame_range', [(0.0, 1.0), (0.0, 0.75), (0.5, 1.0)])
def test_pairs_are_the_same(only_store, clusters, frame_range, num_workers):
    options = dict(pipeline=PIPELINE, frame_range=frame_range, samples_per_video=2)
    ours, reference = VideoClusterDataset(str(only_store), **options), VideoClusterDataset(str(clusters), **options)
    for dataset in (ours, reference):
        dataset.set_epoch(3, run_seed=1)
    loader = DataLoader(ours, batch_size=None, num_workers=num_workers, collate_fn=lambda item: item)
    count = 0
    for one, other in zip(loader, (reference[i] for i in range(len(reference))), strict=True):
        assert equal(one['img'], other['img']) and one['mix_ratios'] == other['mix_ratios']
        assert equal(one['imgs'], other['imgs']) and one['video_id'] == other['video_id']
        count += 1
    assert count == 2 * 7


def test_single_frames_are_the_same(only_store, clusters):
    ours = VideoFrameDataset(str(only_store), pipeline=[LoadFrame()], test_mode=True)
    reference = VideoFrameDataset(str(clusters), pipeline=[LoadFrame()], test_mode=True)
    assert len(ours) == len(reference) > 20
    for one, other in zip(ours, reference, strict=True):
        assert one['img'].shape == (48, 56, 3) and one['img_shape'] == (48, 56) and one['img'].flags.writeable
        assert (
            equal(one['img'], other['img']) and one['frame'] == other['frame'] and one['video_id'] == other['video_id']
        )


def test_store_is_used_only_if_it_may_be(only_store, stored, monkeypatch):
    with pytest.raises(FileNotFoundError, match='run the converter again'):
        VideoClusterDataset(str(only_store), frame_store=False)
    monkeypatch.setattr('uscl.data.frame_store.FrameShards.read', lambda *_: pytest.fail('store read'))
    dataset = VideoClusterDataset(str(stored), frame_store=False, pipeline=PIPELINE)
    assert len(dataset[0]['img']) == 2


def test_paths_stay_known(stored):
    dataset = VideoClusterDataset(str(stored), pipeline=PIPELINE)
    assert dataset.get_data_info(1)['frames'][2] == str(stored / 'frames' / 'b__v1' / '000002.png')


def test_what_a_worker_holds_does_not_grow_with_the_store(stored):
    """Items are in one array, shards are names: nothing that forked processes would copy by counting references."""
    dataset = VideoClusterDataset(str(stored), pipeline=PIPELINE)
    held = vars(dataset) | {'data_bytes': None, 'data_address': None}
    containers = [value for value in held.values() if isinstance(value, dict | list | tuple | set)]
    assert max(map(len, containers)) < len(dataset)
    assert isinstance(dataset.data_bytes, np.ndarray | torch.Tensor)
    assert set(vars(dataset._shards)) == {'folder', 'names', '_maps'} and len(dataset._shards.names) == 1
