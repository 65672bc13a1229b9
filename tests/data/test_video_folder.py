"""A data folder without a host gives what the plugin's data set gives."""

import json
import shutil

import cv2
import mmcv
import numpy as np
import pytest

from uscl.data.frame_loading import load_frame
from uscl.data.frame_packing import pack_frames
from uscl.data.video_folder import VideoFolder
from uscl_plugin.datasets.transforms import LoadVideoFrames
from uscl_plugin.datasets.video_clusters import VideoClusterDataset


@pytest.mark.parametrize('stored', [False, True])
def test_the_same_videos_and_pixels_as_the_data_set(clusters, tmp_path, stored):
    root = shutil.copytree(clusters, tmp_path / 'data')
    if stored:
        pack_frames(root, json.loads((root / 'annotations.json').read_text())['data_list'])
    folder = VideoFolder(root)
    dataset = VideoClusterDataset(str(root), pipeline=[], test_mode=True, verify=False)
    load = LoadVideoFrames()
    assert len(folder) == len(dataset) == 7 and folder.classes == ['a', 'b']
    for k in range(len(folder)):
        item, other = folder[k], dataset[k]
        assert (item['video_id'], item['patient_id']) == (other['video_id'], other['patient_id'])
        assert isinstance(item['frames'], np.ndarray) == stored and len(item['frames']) == len(other['frames'])
        last = len(item['frames']) - 1
        expected = load.transform({'frames': other['frames'], 'frame_inds': [0, last]})['imgs']
        for frame, bgr in zip(folder.load(k, [0, last]), expected, strict=True):
            np.testing.assert_array_equal(frame, bgr[..., ::-1])


def test_bad_videos_are_dropped_or_refused(clusters, tmp_path):
    root = shutil.copytree(clusters, tmp_path / 'data')
    victim = next((root / 'frames' / 'a__v0').iterdir())
    victim.write_bytes(b'')
    with pytest.raises(ValueError, match=r"1 of 7 videos .*'a/v0'.*is empty.*run the converter again"):
        VideoFolder(root)
    with pytest.warns(UserWarning, match='1 of 7 videos'):
        folder = VideoFolder(root, max_bad=0.2)
    assert len(folder) == 6 and 'a/v0' not in {folder[k]['video_id'] for k in range(6)}


def test_only_a_split(clusters):
    with pytest.raises(ValueError, match=r"no split 'train'.*--val-fraction"):
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
