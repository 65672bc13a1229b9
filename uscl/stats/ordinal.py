"""Agreement on ordered classes, such as degrees of severity."""

import numpy as np


def quadratic_kappa(confusion: np.ndarray) -> np.ndarray:
    """Cohen's kappa with quadratic weights: 1 - sum(w O) / sum(w E), with w = (i - j)^2 and E expected by chance.

    Args:
        confusion: (..., C, C) counts, true classes in rows, both in order.

    Returns:
        (...) float64, at most 1, 0 at chance; NaN if all labels and all predictions are one class.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    places = np.arange(counts.shape[-1])
    weights = (places[:, None] - places) ** 2
    expected = counts.sum(-1)[..., :, None] * counts.sum(-2)[..., None, :]
    total = counts.sum((-2, -1))
    disagreement, by_chance = (weights * counts).sum((-2, -1)) * total, (weights * expected).sum((-2, -1))
    return np.where(by_chance > 0, 1 - disagreement / np.where(by_chance > 0, by_chance, 1), np.nan)
