"""HiCo's pyramid, against loops over pixels."""

import math

import numpy as np
import pytest
import torch

from uscl_plugin.models.necks import LevelNeck


def upsample(image, size):
    """Bilinear, with pixel centres at ½, ¾, …; (C, h, w) to (C, *size)."""
    channels, height, width = image.shape
    result = np.zeros((channels, *size))
    for y in range(size[0]):
        for x in range(size[1]):
            sy, sx = (y + 0.5) * height / size[0] - 0.5, (x + 0.5) * width / size[1] - 0.5
            sy, sx = min(max(sy, 0), height - 1), min(max(sx, 0), width - 1)
            y0, x0 = math.floor(sy), math.floor(sx)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            top = (1 - (sx - x0)) * image[:, y0, x0] + (sx - x0) * image[:, y0, x1]
            low = (1 - (sx - x0)) * image[:, y1, x0] + (sx - x0) * image[:, y1, x1]
            result[:, y, x] = (1 - (sy - y0)) * top + (sy - y0) * low
    return result


def pointwise(conv, image):
    return np.einsum('oc,chw->ohw', conv.weight[:, :, 0, 0].numpy(), image) + conv.bias.numpy()[:, None, None]


def smooth(conv, image):
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    height, width = image.shape[1:]
    result = np.zeros((conv.out_channels, height, width)) + conv.bias.numpy()[:, None, None]
    for dy in range(3):
        for dx in range(3):
            kernel = conv.weight[:, :, dy, dx].numpy()
            result += np.einsum('oc,chw->ohw', kernel, padded[:, dy : dy + height, dx : dx + width])
    return result


@torch.no_grad()
@pytest.mark.parametrize('sides', [((8, 8), (4, 4), (2, 2), (1, 1)), ((7, 9), (4, 5), (2, 3), (1, 2))])
def test_equals_the_pyramid_in_loops(sides):
    torch.manual_seed(0)
    shapes = [(channels, *side) for channels, side in zip((2, 3, 4, 5), sides, strict=True)]
    neck = LevelNeck(shapes, channels=6, out_channels=7).double()
    maps = [torch.randn(2, *shape, dtype=torch.float64) for shape in shapes]
    found = neck(maps)
    for item in range(2):
        merged = [pointwise(conv, each[item].numpy()) for conv, each in zip(neck.lateral, maps, strict=True)]
        for level in (2, 1, 0):
            merged[level] = merged[level] + upsample(merged[level + 1], merged[level].shape[1:])
        levels = [smooth(neck.smooth[0], merged[0]), smooth(neck.smooth[1], merged[1]), merged[3]]
        for level, embedding, net in zip(levels, found, neck.embeddings, strict=True):
            hidden = np.maximum(net[1].weight.numpy() @ level.reshape(-1) + net[1].bias.numpy(), 0)
            expected = net[3].weight.numpy() @ hidden + net[3].bias.numpy()
            np.testing.assert_allclose(embedding[item], expected, rtol=1e-8)


def test_widths_of_the_paper_at_224_px():
    """802,816, 200,704 and 12,544 inputs (the first weights are not made: 205 million numbers)."""
    with torch.device('meta'):
        neck = LevelNeck([(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)])
    assert [net[1].in_features for net in neck.embeddings] == [802_816, 200_704, 12_544]
    assert [net[3].out_features for net in neck.embeddings] == [256] * 3
