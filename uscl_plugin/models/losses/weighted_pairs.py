"""NT-Xent pair by pair, and its weighted mean: the loss of Meta-USCL."""

import torch
import torch.nn.functional as F
from torch import Tensor


def pair_losses(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The terms of NT-Xent, summed over both views of a pair; their mean is twice the loss.

    Args:
        first: (N, D) projections of the first views; normalised here.
        second: (N, D) projections of the second views.
        temperature: τ > 0.

    Returns:
        (N,), twice differentiable.
    """
    views, count = torch.cat([first, second]), len(first)
    itself = torch.eye(2 * count, dtype=torch.bool, device=views.device)
    partner = torch.arange(2 * count, device=views.device).roll(count)
    with torch.autocast(device_type=views.device.type, enabled=False):  # as in LightlyNTXentLoss
        views = F.normalize(views.to(torch.promote_types(views.dtype, torch.float32)))
        logits = (views @ views.T / temperature).masked_fill(itself, -torch.inf)
        return F.cross_entropy(logits, partner, reduction='none').unflatten(0, (2, count)).sum(0)


def weighted_pair_loss(losses: Tensor, weights: Tensor) -> Tensor:
    """``Σ_i w_i / (2 Σ_j w_j) · (ℓ_i + ℓ'_i)``; equal weights give NT-Xent.

    Args:
        losses: (N,), from :func:`pair_losses`.
        weights: (N,) above 0.

    Returns:
        Scalar.
    """
    return (weights * losses).sum() / (2 * weights.sum())
