"""From the probabilities of a clip's frames to what is predicted for the clip."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .training_features import TrainingFeatures


def clip_prediction(
    path: str | Path,
    classes: Sequence[str],
    frames: np.ndarray,
    features: np.ndarray,
    training: TrainingFeatures | None,
) -> dict[str, Any]:
    """Predict the class of a clip by the mean of its frames' probabilities.

    Args:
        path: The clip.
        classes: Names of the C classes.
        frames: (N, C) class probabilities of its frames.
        features: (N, D) pooled backbone features of its frames.
        training: Features of the training clips; None if not known.

    Returns:
        ``clip`` (the path), ``predicted`` (class), ``probabilities`` (class → mean over frames), ``frames`` (their
        number), ``agreement`` (fraction of the frames that individually give the same class), ``distance`` to the
        training clips, and whether that is ``unusual``; both None if not known. See :class:`TrainingFeatures`.
    """
    mean = frames.mean(axis=0)
    distance = None if training is None else training.distance(features)
    return {
        'clip': str(path),
        'predicted': classes[int(mean.argmax())],
        'probabilities': dict(zip(classes, mean.tolist(), strict=True)),
        'frames': len(frames),
        'agreement': float((frames.argmax(axis=1) == mean.argmax()).mean()),
        'distance': distance,
        'unusual': None if training is None or distance is None else training.is_unusual(distance),
    }
