"""HiCo's losses, against their equations in plain loops."""

import math

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from slow_losses import weighted_nt_xent

import uscl_plugin  # noqa: F401
from uscl_plugin.models.heads.hico_head import softened_cross_entropy


def slow_ntx(first, second):
    return weighted_nt_xent(first, second, [1.0] * len(first), 0.5)


def slow_soft(logits, labels, alpha):
    known = [b for b, label in enumerate(labels) if label >= 0]
    total = 0.0
    for b in known:
        p = np.exp(logits[b]) / np.exp(logits[b]).sum()
        for c in range(logits.shape[1]):
            t = (1 - alpha) * (c == labels[b]) + alpha / (len(known) - 1)
            total -= t * math.log(p[c])
    return total / len(known)


@pytest.fixture
def head():
    torch.manual_seed(0)
    loss = dict(type='LightlyNTXentLoss', temperature=0.5)
    return MODELS.build(dict(type='HiCoHead', num_classes=4, in_channels=6, hid_channels=5, loss_contrastive=loss))


def inputs(count=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2 * count, 6, generator=generator), [
        torch.randn(2 * count, 8, generator=generator) for _ in range(3)
    ]


def samples(*labels):
    return [DataSample().set_gt_label(label) for label in labels]


def test_losses_equal_the_equations(head):
    representation, levels = inputs()
    losses = head.loss(representation, levels, samples(2, -1, 0))
    (l1, m1, g1), (l2, m2, g2) = ([level.chunk(2)[view].numpy() for level in levels] for view in (0, 1))
    peer = slow_ntx(l1, l2) + slow_ntx(m1, m2) + slow_ntx(g1, g2)
    cross = slow_ntx(g1, m1) + slow_ntx(g2, m2) + slow_ntx(g1, l1) + slow_ntx(g2, l2)
    with torch.no_grad():
        logits = head.classifier(representation).double().numpy()
    soft = sum(slow_soft(view, [2, -1, 0], 0.2) for view in (logits[:3], logits[3:]))
    assert set(losses) == {'loss_peer', 'loss_cross', 'loss_cls'}
    assert losses['loss_peer'].item() == pytest.approx(peer / 2, rel=1e-5)
    assert losses['loss_cross'].item() == pytest.approx(cross / 2, rel=1e-5)
    assert losses['loss_cls'].item() == pytest.approx(0.2 * soft, rel=1e-5)


@pytest.mark.parametrize('labels', [(0, 3, 2, 1), (0, -1, 2, -1), (1, 1, 1, -1)])
@pytest.mark.parametrize('alpha', [0.0, 0.2, 1.0])
def test_softened_labels(labels, alpha):
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = softened_cross_entropy(logits, torch.tensor(labels), alpha).item()
    assert found == pytest.approx(slow_soft(logits.numpy(), labels, alpha), rel=1e-9)


def test_one_label_is_a_plain_label_and_none_is_an_exact_zero_with_a_graph():
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    one = softened_cross_entropy(logits, torch.tensor([-1, 2, -1]), 0.2)
    assert one.item() == pytest.approx(torch.nn.functional.cross_entropy(logits[1:2], torch.tensor([2])).item())
    none = softened_cross_entropy(logits, torch.tensor([-1, -1, -1]), 0.2)
    assert none.item() == 0 and torch.autograd.grad(none, logits)[0].abs().max() == 0


def test_levels_all_get_gradients_and_wrong_labels_are_named(head):
    representation, levels = inputs()
    for tensor in (representation, *levels):
        tensor.requires_grad_()
    sum(head.loss(representation, levels, samples(0, 1, 2)).values()).backward()
    assert all(tensor.grad.abs().sum() > 0 for tensor in (representation, *levels))
    with pytest.raises(ValueError, match=r'label 4.*num_classes'):
        head.loss(representation, levels, samples(0, 1, 4))
