"""One frame becomes an image for any pipeline."""

import numpy as np
import pytest
from mmcv.transforms import Compose, RandomFlip

from uscl_plugin.datasets.transforms import FrameAsImage, LoadVideoFrames, SampleVideoFrames


@pytest.mark.parametrize('num_frames', [1, 5])
def test_a_pipeline_for_images_can_follow(num_frames):
    frames = [np.random.default_rng(k).integers(0, 256, (6, 4, 3), np.uint8) for k in range(num_frames)]
    steps = [SampleVideoFrames(num_frames=1), LoadVideoFrames(), FrameAsImage(), RandomFlip(prob=1.0)]
    out = Compose(steps)(dict(frames=frames, video_id='v'))
    np.testing.assert_array_equal(out['img'], frames[int(out['frame_inds'][0])][:, ::-1])
    assert out['img_shape'] == out['ori_shape'] == (6, 4)


@pytest.mark.parametrize('count', [0, 2, 3])
def test_several_frames_are_no_image(count):
    with pytest.raises(ValueError, match=rf"FrameAsImage .*{count} .*'v7'.*num_frames=1"):
        FrameAsImage()(dict(imgs=[np.zeros((2, 2, 3), np.uint8)] * count, video_id='v7'))
