"""SimCLR and MoCo v2 as the configs make them, against the textbook in explicit loops."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

CONFIGS = Path(__file__).parents[3] / 'configs' / 'baselines'


@pytest.fixture
def build():
    def make(name, **changes):
        init_default_scope('mmpretrain')
        (path,) = CONFIGS.glob(f'{name}_*.py')
        cfg = Config.fromfile(path)
        cfg.model.backbone.update(base_channels=16, stem_channels=16)
        cfg.model.neck.update(in_channels=128, hid_channels=64, out_channels=16)
        cfg.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        model.init_weights()
        return model.train()

    return make


def views(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, 3, 32, 32, generator=generator) for _ in range(2)]


def unit(vector):
    return [x / math.sqrt(sum(y * y for y in vector)) for x in vector]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize('count', [2, 5])
def test_simclr_is_mmpretrains_simclr(build, count):
    """The same losses and gradients as MMPretrain's own algorithm, in one pass and without labels."""
    ours = build('simclr', **{'head.in_channels': 128})
    theirs = MODELS.build(
        dict(
            type='SimCLR',
            backbone=dict(type='ResNet', depth=18, base_channels=16, stem_channels=16),
            neck=dict(type='MoCoV2Neck', in_channels=128, hid_channels=64, out_channels=16, with_avg_pool=True),
            head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.5),
        )
    ).train()
    state = {key: value for key, value in ours.state_dict().items() if not key.startswith('head.')}
    theirs.load_state_dict(state, strict=True)
    ours, theirs = ours.double(), theirs.double()  # the order of the views in a batch rounds otherwise
    samples = [DataSample() for _ in range(count)]
    for sample in samples:
        sample.set_gt_label(0)
    inputs = [view.double() for view in views(count)]
    losses = ours.loss(inputs, samples)
    assert losses['loss_cls'].item() == 0  # labels are not used
    expected = theirs.loss(inputs, samples)['loss']
    assert losses['loss_contrastive'].item() == pytest.approx(expected.item(), rel=1e-5)
    losses['loss_contrastive'].backward()
    expected.backward()
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(dict(ours.named_parameters())[name].grad, parameter.grad, rtol=1e-3, atol=1e-6)


def test_moco_contrasts_with_the_queue_and_fills_it_in_order(build):
    model = build('mocov2', queue_len=12, feat_dim=16)
    temperature = 0.2
    for step in range(5):
        queue = model.queue.T.tolist()
        before = int(model.queue_ptr)
        given = []
        learn = model.head.loss
        model.head.loss = lambda *args, learn=learn, given=given: given.extend(a.detach() for a in args) or learn(*args)
        loss = model.loss(views(4, seed=step), [])['loss'].item()
        model.head.loss = learn

        assert (before, int(model.queue_ptr)) == (4 * step % 12, 4 * (step + 1) % 12)
        keys = model.queue.T[before : before + 4].tolist()
        rest = [k for k in range(12) if not before <= k < before + 4]
        assert [model.queue.T[k].tolist() for k in rest] == [queue[k] for k in rest]  # first in, first out
        positives, negatives = given
        total = 0.0
        for item in range(4):
            assert math.isclose(dot(keys[item], keys[item]), 1, rel_tol=1e-5)
            pos, neg = positives[item].item(), negatives[item].tolist()
            total -= math.log(
                math.exp(pos / temperature)
                / (math.exp(pos / temperature) + sum(math.exp(n / temperature) for n in neg))
            )
        assert loss == pytest.approx(total / 4, rel=1e-4)
        with torch.no_grad():  # the queries, from the network as it was (no optimiser step was made)
            queries = [unit(q) for q in model.neck(model.backbone(views(4, seed=step)[0]))[0].tolist()]
        for item in range(4):
            assert positives[item].item() == pytest.approx(dot(queries[item], keys[item]), abs=1e-4)
            assert negatives[item].tolist() == pytest.approx([dot(queries[item], z) for z in queue], abs=1e-4)


def test_moco_without_negatives_has_nothing_to_learn(build):
    model = build('mocov2', queue_len=4, feat_dim=16)
    assert model.head.loss(torch.tensor([[0.3], [-0.9]]), torch.zeros(2, 0)).item() == 0


@pytest.mark.parametrize('momentum', [0.001, 0.5])
def test_keys_come_from_a_moving_average(build, momentum):
    model = build('mocov2', queue_len=4, feat_dim=16, momentum=momentum)
    name, parameter = next(iter(model.backbone.named_parameters()))
    average = dict(model.encoder_k.module[0].named_parameters())[name]
    model.loss(views(4), [])
    assert torch.equal(average, parameter)  # it starts as a copy of the network that starts
    with torch.no_grad():
        parameter.add_(1.0)
    model.loss(views(4), [])
    torch.testing.assert_close(parameter - average, torch.full_like(parameter, 1 - momentum))
