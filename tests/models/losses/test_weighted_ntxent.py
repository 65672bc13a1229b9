"""NT-Xent with weights against its equation, and against NT-Xent without."""

import math

import pytest
import torch

from uscl_plugin.models.losses import LightlyNTXentLoss, WeightedNTXentLoss


def by_hand(z1, z2, weights, temperature):
    """1/N Σ w_i (ℓ_i + ℓ'_i) from single cosines: each view among all others of the batch."""
    first, second = z1.tolist(), z2.tolist()

    def similarity(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return math.exp(dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b)) / temperature)

    total = 0.0
    for own, other in ((first, second), (second, first)):
        for i, weight in enumerate(weights.tolist()):
            among = sum(similarity(own[i], view) for view in other)
            among += sum(similarity(own[i], own[j]) for j in range(len(own)) if j != i)
            total -= weight * math.log(similarity(own[i], other[i]) / among)
    return total / len(first)


def random_pairs(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [*torch.randn(2, n, 7, dtype=torch.float64, generator=generator), torch.rand(n, generator=generator)]


@pytest.mark.parametrize('n', [2, 3, 8])
@pytest.mark.parametrize('temperature', [0.1, 0.5, 1.0])
def test_against_the_equation(n, temperature):
    z1, z2, weights = random_pairs(n, seed=n)
    loss = WeightedNTXentLoss(temperature)(z1, z2, weights)
    assert loss.item() == pytest.approx(by_hand(z1, z2, weights, temperature), rel=1e-9)


def test_weights_of_one_give_twice_nt_xent():
    z1, z2, _ = random_pairs(5)
    expected = 2 * LightlyNTXentLoss(temperature=0.1)(z1, z2)
    torch.testing.assert_close(WeightedNTXentLoss(0.1)(z1, z2, torch.ones(5)), expected)


def test_half_the_weight_is_half_the_loss_and_a_pair_without_weight_is_still_a_negative():
    z1, z2, weights = random_pairs(4)
    loss = WeightedNTXentLoss()
    torch.testing.assert_close(loss(z1, z2, weights / 2), loss(z1, z2, weights) / 2)
    weights[1] = 0
    z1.requires_grad_()
    loss(z1, z2, weights).backward()
    assert z1.grad[1].abs().max() > 0  # it is pushed away


def test_weights_get_no_gradient():
    z1, z2, weights = random_pairs(4)
    weights.requires_grad_()
    z1.requires_grad_()
    WeightedNTXentLoss()(z1, z2, weights).backward()
    assert weights.grad is None and z1.grad.abs().sum() > 0


def test_half_precision_is_computed_in_float32():
    z1, z2, weights = (tensor.half() for tensor in random_pairs(4))
    loss = WeightedNTXentLoss()(z1, z2, weights)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(by_hand(z1.double(), z2.double(), weights.double(), 0.1), rel=1e-4)


def test_a_weight_for_each_pair():
    z1, z2, weights = random_pairs(4)
    with pytest.raises(ValueError, match='4 weights'):
        WeightedNTXentLoss()(z1, z2, weights[:3])
