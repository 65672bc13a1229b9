"""The head finds the weights of the pairs, in order."""

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from uscl_plugin.models.losses import WeightedNTXentLoss


def test_every_pair_gets_its_own_weight():
    head = MODELS.build(dict(type='WeightedPairHead', loss_contrastive=dict(type='WeightedNTXentLoss')))
    weights, projection = [1.0, 0.2, 0.6], torch.randn(6, 4, requires_grad=True)
    samples = [DataSample(metainfo=dict(pair_weight=weight, video_id=f'v{k}')) for k, weight in enumerate(weights)]
    losses = head.loss(torch.zeros(6, 2), projection, samples)
    expected = WeightedNTXentLoss(0.1)(projection[:3], projection[3:], torch.tensor(weights))
    assert losses['loss_contrastive'] == expected
    assert losses['pair_weight'].item() == pytest.approx(0.6) and not losses['pair_weight'].requires_grad


def test_a_missing_weight_is_an_error():
    head = MODELS.build(dict(type='WeightedPairHead', loss_contrastive=dict(type='WeightedNTXentLoss')))
    samples = [DataSample(metainfo=dict(pair_weight=1.0)), DataSample(metainfo=dict(video_id='a/v1'))]
    with pytest.raises(ValueError, match=r"'a/v1' .*SampleNearbyPair"):
        head.loss(torch.zeros(4, 2), torch.zeros(4, 3), samples)
