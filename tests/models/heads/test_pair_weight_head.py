import math

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS

import uscl_plugin  # noqa: F401


@pytest.fixture
def head():
    torch.manual_seed(0)
    loss = dict(type='LightlyNTXentLoss', temperature=0.5)
    return MODELS.build(dict(type='PairWeightHead', in_channels=4, loss_contrastive=loss)).double()


def test_weights_equal_the_equation(head):
    representation = torch.randn(6, 4, dtype=torch.float64)
    found = head.weigh(representation)
    a1, b1, a2, b2 = (parameter.detach().numpy() for parameter in head.weight_net.parameters())
    assert a1.shape == (10, 8)
    for k in range(3):
        both = np.concatenate([representation[k], representation[k + 3]])
        value = float(a2[0] @ np.maximum(a1 @ both + b1, 0) + b2[0])
        assert found[k].item() == pytest.approx(1 / (1 + math.exp(-value)), rel=1e-9)


def test_steps_are_adams_and_the_moments_are_saved(head):
    twin = [parameter.detach().clone().requires_grad_() for parameter in head.weight_net.parameters()]
    adam = torch.optim.Adam(twin, lr=6e-5)
    for step in range(4):
        gradients = [torch.randn(p.shape, generator=torch.Generator().manual_seed(step)).double() for p in twin]
        for parameter, gradient in zip(twin, gradients, strict=True):
            parameter.grad = gradient.clone()
        adam.step()
        if step == 2:  # as resuming does
            again = MODELS.build(
                dict(type='PairWeightHead', in_channels=4, loss_contrastive=dict(type='LightlyNTXentLoss'))
            ).double()
            again.load_state_dict(head.state_dict())
            head = again
        head.update_weight_net(gradients)
    for mine, theirs in zip(head.weight_net.parameters(), twin, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    assert float(head.steps0) == 4
