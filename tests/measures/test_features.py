import numpy as np
import pytest
import torch
from mmpretrain.models.backbones import ResNet
from PIL import Image
from torch import nn

from uscl.data.frame_range import split_frames
from uscl_plugin.measures.features import extract_features

NORM = {'mean': [10.0, 20.0, 30.0], 'std': [2.0, 4.0, 8.0]}


class Keep(nn.Module):
    """Two maps of which the last is the input; remembers the modes it ran in."""

    def __init__(self):
        super().__init__()
        self.modes = []

    def forward(self, x):
        self.modes.append((self.training, torch.is_inference_mode_enabled(), len(x)))
        return x * 0, x


def frames(n=7, height=20, width=30, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize('to_rgb', [False, True])
@pytest.mark.parametrize('batch_size', [1, 3, 7, 50])
def test_against_one_frame_at_a_time(to_rgb, batch_size):
    found = extract_features(Keep(), frames(height=16, width=16), 16, **NORM, to_rgb=to_rgb, batch_size=batch_size)
    assert found.shape == (7, 3) and found.dtype == np.float32
    for frame, feature in zip(frames(height=16, width=16), found, strict=True):
        average = [frame[..., c].astype(float).mean() for c in ((2, 1, 0) if to_rgb else (0, 1, 2))]
        expected = [(a - m) / s for a, m, s in zip(average, NORM['mean'], NORM['std'], strict=True)]
        np.testing.assert_allclose(feature, expected, rtol=1e-4, atol=1e-4)


def test_frames_of_any_size_from_a_generator():
    mixed = [np.full((h, w, 3), v, np.uint8) for h, w, v in ((8, 9, 10), (40, 20, 50), (1, 1, 200))]
    found = extract_features(Keep(), (f for f in mixed), 16, [0] * 3, [1] * 3, False, batch_size=2)
    np.testing.assert_allclose(found, [[10] * 3, [50] * 3, [200] * 3], atol=1e-3)


@pytest.mark.parametrize('size', [(256, 256), (256, 341), (256, 455), (341, 256)])
@pytest.mark.parametrize('side', [64, 112, 224])
def test_frames_are_resized_as_by_pillow(size, side):
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = extract_features(nn.Flatten(), [frame], side, [0] * 3, [1] * 3, to_rgb=True)
    rgb = np.ascontiguousarray(frame[..., ::-1])
    expected = np.asarray(Image.fromarray(rgb).resize((side, side), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(found.reshape(3, side, side).transpose(1, 2, 0), expected, atol=1)


def test_evaluation_mode_without_gradients_in_batches():
    network = Keep()
    extract_features(network, frames(), 8, **NORM, to_rgb=True, batch_size=3)
    assert network.modes == [(False, True, 3), (False, True, 3), (False, True, 1)]


def test_every_submodule_gets_its_mode_back_even_after_an_error():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout()).train()
    network[0].eval()
    extract_features(network, frames(), 8, **NORM, to_rgb=True)
    assert [m.training for m in network.modules()] == [True, False, True]
    with pytest.raises(ValueError, match='uint8'):
        extract_features(network, [np.zeros((4, 4, 3), np.float32)], 8, **NORM, to_rgb=True)
    assert [m.training for m in network.modules()] == [True, False, True]


def test_an_mmpretrain_resnet():
    torch.manual_seed(0)
    network = ResNet(depth=18, out_indices=(1, 3))
    network.train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    found = extract_features(network, frames(3), 64, **NORM, to_rgb=True, batch_size=2)
    assert found.shape == (3, 512) and np.isfinite(found).all()
    assert network.training
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    alone = extract_features(network, frames(3)[2:], 64, **NORM, to_rgb=True)
    np.testing.assert_allclose(found[2:], alone, rtol=1e-3, atol=1e-4)


def test_pooled_output_is_taken_as_it_is():
    found = extract_features(nn.Sequential(nn.Flatten()), frames(2), 4, **NORM, to_rgb=False)
    assert found.shape == (2, 48)


@pytest.mark.parametrize('frame', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4, 3))])
def test_other_arrays_are_refused(frame):
    with pytest.raises(ValueError, match=r'\(H, W, 3\) uint8'):
        extract_features(Keep(), [frame], 4, **NORM, to_rgb=False)


def test_no_frame():
    with pytest.raises(ValueError, match='frame'):
        extract_features(Keep(), [], 4, **NORM, to_rgb=False)


def test_the_last_quarter_in_time_is_held_out():
    for n in range(1, 200):
        gallery, queries = split_frames(n)
        assert [*gallery, *queries] == list(range(n))
        assert len(gallery) >= 1 and len(queries) >= min(1, n - 1)
        assert abs(len(queries) - 0.25 * n) < 1 or n < 10


def test_the_demo_does_not_train_on_what_is_held_out():
    for n in range(4, 300):
        gallery, _ = split_frames(n)
        assert list(gallery) == [k for k in range(n) if k / n < 0.75]
    assert split_frames(1) == (range(1), range(1, 1))
