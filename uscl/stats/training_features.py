"""How far a clip is from those that a classifier was trained on: the nearest of their features, kept in its file."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_CLIPS = 2000
FEWEST_HELD_OUT = 5
_LEVEL = 0.99
_ENOUGH = 100  # held-out clips from which on the percentile itself is used
_NONE = 1e-9


@dataclass(frozen=True)
class TrainingFeatures:
    """Features of the training clips, and how near to them held-out clips are.

    The feature of a clip is the mean of its frames' pooled backbone features, scaled to length 1. Its distance is 1
    minus the cosine to the nearest training clip, in [0, 2].

    Attributes:
        features: (N, D) float16, of at most :data:`MOST_CLIPS` clips; rows of length 1.
        quantiles: The quantiles 0, 1, …, 100 % of the distances of held-out clips.
        held_out: Number of these clips.
        limit: Distance beyond which a clip is unusual, see :func:`distance_limit`; None if too few were held out.

    Raises:
        ValueError: The features have another shape, or none, or the limit is not finite.
    """

    features: np.ndarray
    quantiles: list[float]
    held_out: int
    limit: float | None

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or not len(self.features) or not (self.limit is None or math.isfinite(self.limit)):
            raise ValueError(f'features of shape {self.features.shape} with limit {self.limit} make no sense.')

    def distance(self, frames: np.ndarray) -> float:
        """Distance of a clip.

        Args:
            frames: (F, D) backbone features of its frames.
        """
        return float(_nearest(_unit(frames.mean(axis=0, keepdims=True)), self.features)[0])

    def is_unusual(self, distance: float) -> bool | None:
        """Whether a clip is farther away than held-out clips are; None if that is not known."""
        return None if self.limit is None else distance > self.limit


def summarise_training(
    train: np.ndarray, labels: Sequence[int] | np.ndarray, held_out: np.ndarray, most: int = MOST_CLIPS
) -> TrainingFeatures:
    """Summarise the features of training and held-out clips.

    Args:
        train: (V, D) mean features of the training clips, at least one.
        labels: Their classes; of more than ``most`` clips, the same number of each class is kept as far as possible.
        held_out: (H, D) mean features of clips of other patients.
        most: Largest number of clips to keep.
    """
    bank = _unit(train[_evenly_by_class(labels, most)]).astype(np.float16)
    distances = _nearest(_unit(held_out), bank).astype(np.float64) if len(held_out) else np.array([])
    quantiles = np.quantile(distances, np.linspace(0, 1, 101)).tolist() if len(distances) else []
    return TrainingFeatures(bank, quantiles, len(distances), distance_limit(distances))


def distance_limit(distances: np.ndarray) -> float | None:
    """The distance that one more clip like the held-out ones exceeds with a probability of 1 %.

    From 100 clips on, it is the 99th percentile. That of fewer is little more than the largest of them, which every
    (n + 1)-th clip exceeds. Then it is the upper 99 % prediction limit of a normal distribution of log distances, with
    Student's t for the uncertain spread, or the largest distance, whichever is more.

    Returns:
        None for fewer than :data:`FEWEST_HELD_OUT` clips.
    """
    from scipy import stats  # here, as it takes time to import

    count = len(distances)
    if count < FEWEST_HELD_OUT:
        return None
    if count >= _ENOUGH:
        return float(np.quantile(distances, _LEVEL, method='weibull'))  # of the (n + 1)-th, not of these n
    logs = np.log(np.maximum(distances, _NONE))
    spread = stats.t.ppf(_LEVEL, count - 1) * logs.std(ddof=1) * math.sqrt(1 + 1 / count)
    return float(max(np.exp(logs.mean() + spread), distances.max()))


def _unit(features: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float32; zeros stay zeros."""
    features = features.astype(np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _nearest(features: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """(Q, D) and (N, D), rows of length 1, to (Q,)."""
    similarity = (features @ bank.astype(np.float32).T).max(axis=1)
    return np.maximum(1 - similarity, 0)  # half precision may exceed length 1


def _evenly_by_class(labels: Sequence[int] | np.ndarray, most: int) -> list[int]:
    """Indices of at most ``most`` items: the first of every class, the second of every class, …, each spread evenly."""
    if len(labels) <= most:
        return list(range(len(labels)))
    classes = np.asarray(labels)
    counts = {label: int((classes == label).sum()) for label in np.unique(classes)}
    share = dict.fromkeys(counts, 0)
    for _ in range(most):  # the class with the fewest so far gets one more
        label = min((label for label in counts if share[label] < counts[label]), key=lambda label: share[label])
        share[label] += 1
    chosen = [np.flatnonzero(classes == k)[np.arange(share[k]) * counts[k] // max(share[k], 1)] for k in counts]
    return sorted(np.concatenate(chosen).tolist())
