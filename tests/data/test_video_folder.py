"""A data folder without a host gives what the plugin's dataset gives."""

import cv2
import mmcv
import numpy as np
import pytest

from uscl.data.frame_ids import frame_id
from uscl.data.frame_loading import load_frame
from uscl.data.video_folder import VideoFolder
from uscl_plugin.datasets.transforms import LoadVideoFrames
from uscl_plugin.datasets.video_clusters import VideoClusterDataset


def test_the_same_videos_and_pixels_as_the_data_set(clusters):
    folder = VideoFolder(clusters)
    dataset = VideoClusterDataset(str(clusters), pipeline=[LoadVideoFrames()], test_mode=True)
    assert len(folder) == len(dataset) == 7 and folder.classes == ['a', 'b']
    for k in range(len(folder)):
        item, info = folder[k], dataset.get_data_info(k)
        assert (item['video_id'], item['patient_id']) == (info['video_id'], info['patient_id'])
        last = item['num_frames'] - 1
        expected = LoadVideoFrames()({'frames': dataset.frames(info), 'frame_inds': [0, last]})['imgs']
        names = [frame_id(item['video_id'], position) for position in (0, last)]
        for rgb, by_name, bgr in zip(folder.load(k, [0, last]), folder.frames(names), expected, strict=True):
            np.testing.assert_array_equal(rgb, bgr[..., ::-1])
            np.testing.assert_array_equal(by_name, bgr)


@pytest.mark.parametrize('name', ['a/v0#000005', 'a/v9#000000', 'a/v0'])
def test_a_frame_that_is_not_there(clusters, name):
    with pytest.raises(ValueError, match=r'has no frame|invalid literal'):
        list(VideoFolder(clusters).frames([name]))


def test_only_a_split(clusters):
    with pytest.raises(ValueError, match=r"'train'.*--val-fraction"):
        VideoFolder(clusters, split='train')


@pytest.mark.parametrize('color_type', ['color', 'grayscale', 'unchanged'])
@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
@pytest.mark.parametrize('shape', [(20, 30), (20, 30, 3)])
def test_a_frame_is_what_mmcv_reads(tmp_path, color_type, suffix, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    path = tmp_path / f'a{suffix}'
    cv2.imwrite(str(path), image)
    flag = cv2.IMREAD_ANYCOLOR if color_type == 'unchanged' else color_type
    expected = mmcv.imfrombytes(path.read_bytes(), flag=flag, backend='cv2')
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 1 if color_type == 'unchanged' else 3, axis=2)
    np.testing.assert_array_equal(load_frame(path, color_type), expected)


@pytest.mark.parametrize('color_type', ['color', 'grayscale', 'unchanged'])
def test_deep_grey_is_refused_not_darkened(tmp_path, color_type):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((4, 4), 4095, np.uint16))
    with pytest.raises(ValueError, match=r'a\.png of video .* dtype uint16'):
        load_frame(tmp_path / 'a.png', color_type)
