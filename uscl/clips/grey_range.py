"""How to show values of more than 8 bits: one rule for DICOM without a window, images and stacks."""

import numpy as np


def scale_to_unit(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Map the lowest value of a clip to 0 and the highest to 1.

    Args:
        values: One frame, any shape and number type.
        limits: Lowest and highest value of the whole clip; if they are equal, everything becomes 0.

    Returns:
        float64 of the same shape, in [0, 1].

    >>> scale_to_unit(np.array([0, 2048, 4095]), (0.0, 4095.0)).round(2).tolist()
    [0.0, 0.5, 1.0]
    """
    low, high = limits
    return np.clip((values.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
