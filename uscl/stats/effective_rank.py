"""How many directions does a set of features use?"""

import numpy as np

_TINY = 1e-7  # epsilon of Eq. 1


def effective_rank(features: np.ndarray) -> float:
    """RankMe: exp of the entropy of the singular values (Garrido et al., ICML 2023, Eq. 1).

    The features are used as they are, without centring: 1 if all have one direction, at most min(N, C).

    Args:
        features: (N, C), N ≥ 1, finite.

    Returns:
        The rank, in [1, min(N, C)] up to rounding; 0 if all features are 0.

    Raises:
        ValueError: The shape is wrong, or some features are not finite.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or not features.size:
        raise ValueError(f'features should be (N, C) with N, C >= 1, got {features.shape}.')
    if not np.isfinite(features).all():
        raise ValueError('features should be finite: check the weights and the input frames.')
    peak = np.abs(features).max()
    if peak == 0:
        return 0.0
    values = np.linalg.svd(features / peak, compute_uv=False)
    shares = values / values.sum() + _TINY
    return float(np.exp(-(shares * np.log(shares)).sum()))
