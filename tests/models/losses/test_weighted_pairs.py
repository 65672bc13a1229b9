"""Meta-USCL's loss, against its equation in plain loops."""

import pytest
import torch
from slow_losses import weighted_nt_xent

from uscl_plugin.models.losses import LightlyNTXentLoss
from uscl_plugin.models.losses.weighted_pairs import pair_losses, weighted_pair_loss


def views(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, 6, generator=generator, dtype=torch.float64) for _ in range(2)]


@pytest.mark.parametrize('count', [2, 5])
@pytest.mark.parametrize('tau', [0.1, 0.5])
def test_equals_the_equation(count, tau):
    first, second = views(count)
    weights = torch.linspace(0.1, 0.9, count, dtype=torch.float64)
    found = weighted_pair_loss(pair_losses(first, second, tau), weights).item()
    assert found == pytest.approx(weighted_nt_xent(first.numpy(), second.numpy(), weights.tolist(), tau), rel=1e-9)


def test_equal_weights_give_nt_xent_whatever_their_size():
    first, second = views(4)
    expected = LightlyNTXentLoss(0.5)(first, second).item()
    for weight in (1e-3, 1.0):
        weights = torch.full((4,), weight, dtype=torch.float64)
        assert weighted_pair_loss(pair_losses(first, second, 0.5), weights).item() == pytest.approx(expected, rel=1e-6)


def test_second_derivatives_are_those_of_differences():
    first, second = views(3)
    weights = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    assert torch.autograd.gradgradcheck(
        lambda a, b, w: weighted_pair_loss(pair_losses(a, b, 0.5), w),
        tuple(tensor.requires_grad_() for tensor in (first, second, weights)),
    )


def test_half_precision_is_computed_in_single():
    first, second = (view.bfloat16() for view in views(4))
    assert pair_losses(first, second, 0.5).dtype == torch.float32
