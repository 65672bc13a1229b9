"""UCL as a whole: keys, the pool, its curriculum and what it does with short videos."""

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from slow_losses import hard_negative_contrast, mined_negatives

import uscl_plugin  # noqa: F401


@pytest.fixture
def model():
    torch.manual_seed(0)
    backbone = dict(type='ResNet', depth=18, stem_channels=16, base_channels=16, out_indices=(3,))
    neck = dict(type='MoCoV2Neck', in_channels=128, hid_channels=16, out_channels=8)
    return MODELS.build(dict(type='UCL', backbone=backbone, neck=neck, temperature=0.5)).double().eval()


def views(count=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, 3, 32, 32, generator=generator, dtype=torch.float64) for _ in range(5)]


def samples(*frames):
    return [DataSample(metainfo=dict(frame_inds=np.array(inds))) for inds in frames]


LONG, SHORT = (20, 21, 30, 31, 32), (2, 1, 2, 2, 2)


@pytest.mark.parametrize('frames', [(LONG, LONG, LONG), (LONG, SHORT, LONG), (SHORT, SHORT, SHORT)])
def test_loss_equals_the_equations_with_the_negatives_of_long_videos(model, frames):
    """A short video has none of its own, but its frames are negatives of the others."""
    losses = model.loss(views(), samples(*frames))
    with torch.no_grad():
        query, key, *own = (
            torch.nn.functional.normalize(model.neck(model.backbone(view))[0]).numpy() for view in views()
        )
    own = np.stack(own, axis=1)
    is_short = np.array([inds is SHORT for inds in frames])
    usable = np.array([[not (i == j and is_short[i]) for j in range(3) for _ in range(3)] for i in range(3)])
    mined = mined_negatives(query, own.reshape(9, -1), usable, 4, 0.5)
    expected = hard_negative_contrast(query, key, own, ~is_short[:, None].repeat(3, 1), mined, 0.5)
    assert losses['loss'].item() == pytest.approx(expected, rel=1e-8)
    cosines = [np.mean(np.sum(query * other, 1) / np.linalg.norm(other, axis=1)) for other in (key, mined)]
    found = [losses[name].item() for name in ('positive_similarity', 'negative_similarity')]
    assert found == pytest.approx(cosines, rel=1e-8)


def test_without_frame_numbers_all_negatives_count(model):
    known = model.loss(views(), samples(LONG, LONG, LONG))['loss']
    assert torch.equal(model.loss(views(), [DataSample()] * 3)['loss'], known)


@pytest.mark.parametrize(('step', 'is_warm'), [(9, False), (10, True)])
def test_negatives_of_the_video_join_after_a_sixth_of_the_run(model, step, is_warm):
    always = model.loss(views(), [])['loss'].item()
    hub = MessageHub.get_instance('ucl')
    hub.update_info_dict(dict(loop_stage='train', iter=step, max_iters=60))
    assert (model.loss(views(), [])['loss'].item() == pytest.approx(always)) == is_warm


def test_keys_come_from_a_moving_average_without_gradient(model):
    model.loss(views(), [])  # the first update copies
    weight = model.backbone.layer4[1].conv2.weight
    average = model.key_encoder.module[0].layer4[1].conv2.weight
    before = average.clone()
    with torch.no_grad():
        weight.add_(1.0)
    model.loss(views(), [])['loss'].backward()
    torch.testing.assert_close(average, before + 0.001)
    assert weight.grad.abs().sum() > 0 and average.grad is None


def test_the_pool_holds_the_negatives_of_all_ranks(model, monkeypatch):
    """Two halves of a batch, each with what the other would send, are as one batch."""
    frames, whole, sent = (LONG, SHORT, LONG, SHORT), views(4), {0: [], 1: []}
    expected = model.loss(whole, samples(*frames))['loss'].item()

    def loss(rank, gather):
        monkeypatch.setattr('uscl_plugin.models.ucl.get_rank', lambda: rank)
        monkeypatch.setattr('uscl_plugin.models.ucl.all_gather', gather)
        part = slice(2 * rank, 2 * rank + 2)
        return model.loss([view[part] for view in whole], samples(*frames[part]))['loss'].item()

    for rank in (0, 1):
        loss(rank, lambda tensor, rank=rank: sent[rank].append(tensor) or [tensor])
    both = [[*zip(sent[0], sent[1], strict=True)] for _ in (0, 1)]
    found = [loss(rank, lambda tensor, rank=rank: list(both[rank].pop(0))) for rank in (0, 1)]
    assert sum(found) / 2 == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(('count', 'given'), [(1, 5), (3, 2)])
def test_too_few_videos_or_views_are_refused(model, count, given):
    with pytest.raises(ValueError, match='SampleHardNegatives'):
        model.loss(views(count)[:given], [])
