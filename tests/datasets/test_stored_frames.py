"""What datasets hand out is what was stored, whatever reads it."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from uscl.data.folder_writer import write_data_folder
from uscl.data.frame_range import frames_in_range
from uscl_plugin.datasets.transforms import LoadFrame, LoadVideoFrames, MixFrames, SampleVideoFrames
from uscl_plugin.datasets.video_clusters import VideoClusterDataset
from uscl_plugin.datasets.video_frames import VideoFrameDataset

SIZES = {'grey': [(20, 30)] * 6, 'colour': [(16, 12, 3)] * 5, 'mixed': [(8, 9)] * 2 + [(9, 9)] * 3}


@pytest.fixture(scope='module')
def frames():
    rng = np.random.default_rng(0)
    return {name: [rng.integers(0, 256, size, np.uint8) for size in sizes] for name, sizes in SIZES.items()}


@pytest.fixture(scope='module')
def folder(frames, tmp_path_factory):
    videos = [{'video_id': name, 'label': 'a', 'frames': found} for name, found in frames.items()]
    return write_data_folder(tmp_path_factory.mktemp('stored'), videos)


def as_bgr(frame):
    return np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame[..., ::-1]


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('frame_range', [(0.0, 1.0), (0.0, 0.6), (0.6, 1.0)])
def test_videos(folder, frames, frame_range, num_workers):
    steps = [SampleVideoFrames(9), LoadVideoFrames()]
    dataset = VideoClusterDataset(str(folder), pipeline=steps, frame_range=frame_range)
    loader = DataLoader(dataset, batch_size=None, num_workers=num_workers, collate_fn=lambda item: item)
    seen = {item['video_id']: item['imgs'] for item in loader}
    assert set(seen) == set(frames)
    for name, images in seen.items():
        part = frames_in_range(len(frames[name]), frame_range)
        for image, k in zip(images, part, strict=True):
            np.testing.assert_array_equal(image, as_bgr(frames[name][k]))


def test_single_frames(folder, frames):
    dataset = VideoFrameDataset(str(folder), pipeline=[LoadFrame()], frame_range=(0.5, 1.0), test_mode=True)
    assert len(dataset) == sum(len(frames_in_range(len(found), (0.5, 1.0))) for found in frames.values())
    for item in dataset:
        name, k = item['video_id'], int(item['frame'][-6:])
        np.testing.assert_array_equal(item['img'], as_bgr(frames[name][k]))
        assert item['img'].flags.writeable and item['img_shape'] == frames[name][k].shape[:2]
        assert item['img_path'] == item['frame'] == f'{name}#{k:06d}'


def test_what_a_worker_holds_does_not_grow_with_the_store(clusters):
    """Items are in one array: nothing that forked processes would copy by counting references."""
    dataset = VideoClusterDataset(str(clusters), pipeline=[SampleVideoFrames(3), LoadVideoFrames(), MixFrames()])
    held = vars(dataset) | {'data_bytes': None, 'data_address': None}
    containers = [value for value in held.values() if isinstance(value, dict | list | tuple | set)]
    assert max(map(len, containers)) < len(dataset)
    assert isinstance(dataset.data_bytes, np.ndarray | torch.Tensor)
    assert set(vars(dataset._shards)) == {'folder', '_maps'} and len(dataset._shards._maps) == 1
