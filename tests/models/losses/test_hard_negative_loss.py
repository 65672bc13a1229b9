"""UCL's loss, against its equations in plain loops."""

import numpy as np
import pytest
import torch
from slow_losses import hard_negative_contrast, mined_negatives

from uscl_plugin.models.losses.hard_negatives import hard_negative_loss, mine_negative


def unit(*shape, seed=0):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1)


@pytest.mark.parametrize('nearest', [1, 2, 4, 50])
@pytest.mark.parametrize('tau', [0.07, 0.5])
def test_equals_the_equations(nearest, tau):
    query, key, own = unit(5, 8), unit(5, 8, seed=1), unit(5, 3, 8, seed=2)
    pool = own.flatten(0, 1)
    usable = torch.rand(5, 15, generator=torch.Generator().manual_seed(3)) < 0.6
    is_own = torch.tensor([[True] * 3, [False] * 3, [True, False, True], [True] * 3, [False, True, False]])
    mined = mine_negative(query, pool, usable, nearest, tau)
    arrays = [tensor.numpy() for tensor in (query, pool, usable)]
    np.testing.assert_allclose(mined, mined_negatives(*arrays, nearest, tau), rtol=1e-9)
    expected = hard_negative_contrast(*(tensor.numpy() for tensor in (query, key, own, is_own, mined)), tau)
    assert hard_negative_loss(query, key, own, is_own, mined, tau).item() == pytest.approx(expected, rel=1e-9)


def test_gradients_reach_queries_through_the_weights_and_negatives_of_the_video_but_not_the_pool():
    query, key, own = unit(3, 8), unit(3, 8, seed=1), unit(3, 2, 8, seed=2)
    pool = unit(6, 8, seed=3)
    everything = [tensor.requires_grad_() for tensor in (query, own)]
    mined = mine_negative(query, pool, torch.ones(3, 6, dtype=torch.bool), 4, 0.1)
    assert torch.autograd.grad(mined.sum(), query, retain_graph=True)[0].abs().min() > 0
    loss = hard_negative_loss(query, key, own, torch.ones(3, 2, dtype=torch.bool), mined, 0.1)
    assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(loss, everything))


def test_nothing_but_the_positive_is_no_loss():
    """Masked entries have no share at all, in value and in gradient."""
    query, key, own = unit(2, 4), unit(2, 4, seed=1), unit(2, 3, 4, seed=2).requires_grad_()
    none = torch.zeros(2, 3, dtype=torch.bool)
    loss = hard_negative_loss(query, key, own, none, -1000 * query, 0.07)
    assert loss.item() == 0 and torch.autograd.grad(loss, own)[0].abs().max() == 0
