"""Contrastive losses in plain loops over NumPy rows, straight from their equations."""

import math

import numpy as np


def weighted_nt_xent(first, second, weights, tau):
    """`Σ_i w_i / (2 Σ w) (ℓ_i + ℓ'_i)`; equal weights give NT-Xent."""
    rows = [row / np.linalg.norm(row) for row in (*first, *second)]
    count, total = len(first), 0.0
    for k, row in enumerate(rows):
        others = sum(math.exp(float(row @ other) / tau) for m, other in enumerate(rows) if m != k)
        partner = math.exp(float(row @ rows[(k + count) % (2 * count)]) / tau)
        total -= weights[k % count] / (2 * sum(weights)) * math.log(partner / others)
    return total


def mined_negatives(query, pool, usable, nearest, tau):
    """`n̂_i = Σ_t ω_it S_t` over the nearest t that the query may use."""
    mined = np.zeros_like(query)
    for i in range(len(query)):
        known = [t for t in range(len(pool)) if usable[i, t]]
        known = sorted(known, key=lambda t: -float(query[i] @ pool[t]))[:nearest]
        parts = [math.exp(float(query[i] @ pool[t]) / tau) for t in known]
        for t, part in zip(known, parts, strict=True):
            mined[i] += part / sum(parts) * pool[t]
    return mined


def hard_negative_contrast(query, key, own, is_own, mined, tau):
    """`-log(e^{q·k/τ} / (e^{q·k/τ} + Σ_m e^{q·v_m/τ} + e^{q·n̂/τ}))`, averaged."""
    total = 0.0
    for i in range(len(query)):
        positive = math.exp(float(query[i] @ key[i]) / tau)
        negatives = math.exp(float(query[i] @ mined[i]) / tau)
        for m in range(own.shape[1]):
            if is_own[i, m]:
                negatives += math.exp(float(query[i] @ own[i, m]) / tau)
        total -= math.log(positive / (positive + negatives))
    return total / len(query)
