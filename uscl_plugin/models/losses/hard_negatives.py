"""The contrastive loss of UCL: one positive, negatives of the same video, and one made from the nearest of a pool."""

import torch
import torch.nn.functional as F
from torch import Tensor


def mine_negative(query: Tensor, pool: Tensor, usable: Tensor, num_nearest: int, temperature: float) -> Tensor:
    """Blend each query's nearest pool entries, the nearer the more.

    ``n̂_i = Σ_t ω_it S_t`` over the nearest t by dot product, ω = softmax of ``q_i · S_t / τ'``.

    Args:
        query: (N, D) of length 1.
        pool: S (M, D) of length 1; it gets no gradient here.
        usable: (N, M) bool, which entries a query may take; at least one each.
        num_nearest: Number of nearest entries.
        temperature: τ' > 0.

    Returns:
        (N, D), not normalised again; its gradient goes through the weights to the queries.
    """
    similarity = (query @ pool.T / temperature).masked_fill(~usable, -torch.inf)  # (N, M)
    nearest, places = similarity.topk(min(num_nearest, len(pool)))
    return torch.einsum('nt,ntd->nd', nearest.softmax(1), pool[places])


def hard_negative_loss(query: Tensor, key: Tensor, own: Tensor, is_own: Tensor, mined: Tensor, tau: float) -> Tensor:
    """``-log(e^{q·k/τ} / (e^{q·k/τ} + Σ_m e^{q·v_m/τ} + e^{q·n̂/τ}))``, averaged over the batch.

    Args:
        query: q (N, D) of length 1.
        key: k (N, D) of length 1, of the positives.
        own: v (N, M, D) of length 1, negatives of the same video.
        is_own: (N, M) bool, which of them count.
        mined: n̂ (N, D).
        tau: τ > 0.

    Returns:
        Scalar.
    """
    first, last = (query * key).sum(1, keepdim=True), (query * mined).sum(1, keepdim=True)
    middle = torch.einsum('nd,nmd->nm', query, own).masked_fill(~is_own, -torch.inf)
    logits = torch.cat([first, middle, last], dim=1) / tau
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
