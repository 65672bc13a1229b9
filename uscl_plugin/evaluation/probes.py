"""Linear and nearest-neighbour probes on features extracted once (scikit-learn)."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from uscl.stats.predictions import Predictions

FIXED = 'fixed'  # selection: one setting for all, chosen in advance


@dataclass(frozen=True)
class Probe:
    """A classifier on features with one setting.

    Attributes:
        settings: Values to choose from.
        fixed: Value to use if nothing is selected.
        make: Builds the classifier from a value and the number of training frames.
    """

    settings: Sequence[float]
    fixed: float
    make: Callable[[float, int], Any]


def _linear(strength: float, num_frames: int) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))


def _neighbours(count: float, num_frames: int) -> Any:
    return KNeighborsClassifier(min(int(count), num_frames), metric='cosine', weights='distance', algorithm='brute')


PROBES = {
    # Multinomial logistic regression on standardised features; the setting is C, the inverse of the L2 penalty, 1 by
    # default in scikit-learn.
    'linear': Probe((1e-4, 1e-3, 1e-2, 1e-1, 1.0), 1.0, _linear),
    # k nearest frames by cosine similarity, weighted by the inverse of their distance; the setting is k.
    'knn': Probe((1, 5, 20, 50), 20, _neighbours),
}


@dataclass(frozen=True)
class ProbeResult:
    """What a probe predicts for a test part.

    Attributes:
        predictions: Selection → predictions for the test frames.
        settings: Selection → selected setting.
        classifier: The fitted classifier of the most honest selection.
    """

    predictions: dict[str, Predictions]
    settings: dict[str, float]
    classifier: Any


def run_probe(kind: str, features: np.ndarray, frames: Predictions, sides: np.ndarray) -> ProbeResult:
    """Fit a probe to one fold, with its setting selected in three ways.

    - ``best-on-test``: the setting with the highest accuracy on the test frames (optimistic), if there are any;
    - ``fixed``: the setting chosen in advance;
    - ``inner-val``: the setting with the highest accuracy on the inner validation frames, ties broken by cross-entropy;
      only if there are such frames.

    The classifiers whose test predictions are returned are fitted to the training and inner validation parts together.

    Args:
        kind: One of :data:`PROBES`.
        features: (N, C), finite.
        frames: N rows; their probabilities only give the number of classes.
        sides: (N,) ``'train'``, ``'val'`` or ``'test'``; other rows are ignored.

    Returns:
        The result; without test frames it has no predictions.
    """
    probe = PROBES[kind]
    train, val, test = (sides == side for side in ('train', 'val', 'test'))

    def fit(known: np.ndarray, asked: np.ndarray) -> tuple[dict[float, Any], dict[float, np.ndarray], float]:
        """By setting: classifiers, and their scores of the rows that are asked; the best setting for those."""
        fitted = {s: _fit(probe, s, features[known], frames.labels[known]) for s in probe.settings}
        if not asked.any():
            return fitted, {}, probe.fixed
        scores = {s: _scores(each, features[asked], frames.probabilities.shape[1]) for s, each in fitted.items()}
        return fitted, scores, max(scores, key=lambda s: selection_quality(scores[s], frames.labels[asked]))

    fitted, scores, best = fit(train | val, test)
    chosen = {'best-on-test': best, FIXED: probe.fixed} if test.any() else {FIXED: probe.fixed}
    if val.any():
        chosen['inner-val'] = fit(train, val)[2]
    rows = {name: getattr(frames, name)[test] for name in ('labels', 'videos', 'groups', 'paths')}
    of_test = Predictions(probabilities=frames.probabilities[test], **rows)
    return ProbeResult(
        {
            name: replace(of_test, probabilities=scores[setting])
            for name, setting in chosen.items()
            if setting in scores
        },
        chosen,
        fitted[chosen.get('inner-val', chosen[FIXED])],
    )


def _fit(probe: Probe, setting: float, features: np.ndarray, labels: np.ndarray) -> Any:
    # One thread: on matrices this small two take six times as long, and they round otherwise, which shows where the
    # largest C separate the frames, so that there is no optimum to converge to.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)
        return probe.make(setting, len(features)).fit(features.astype(np.float64), labels)


def _scores(classifier: Any, features: np.ndarray, num_classes: int) -> np.ndarray:
    """(N, num_classes) probabilities; 0 for classes that the classifier has not seen."""
    scores = np.zeros((len(features), num_classes))
    scores[:, classifier.classes_] = classifier.predict_proba(features.astype(np.float64))
    return scores


def selection_quality(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Sort key for settings and epochs: frame accuracy, then the negative cross-entropy of the labels.

    Args:
        scores: (N, C) probabilities.
        labels: (N,) in [0, C).
    """
    accuracy = float((scores.argmax(axis=1) == labels).mean())
    smooth = np.clip(scores, 1e-7, None)
    smooth /= smooth.sum(axis=1, keepdims=True)
    return accuracy, -float(log_loss(labels, smooth, labels=range(scores.shape[1])))


def as_linear_layer(classifier: Any, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight (C, D) and bias (C,) of a linear layer whose softmax equals the predictions of a fitted linear probe.

    With standardisation ``z = (x - m) / s`` and scores ``z w + b``: weight ``w / s``, bias ``b - (w / s) m``. For two
    classes scikit-learn has one logit, which is split here into ± half of it. Unseen classes get -1e4.
    """
    scaler, regression = classifier.named_steps['standardscaler'], classifier.named_steps['logisticregression']
    weight = regression.coef_ / scaler.scale_
    bias = regression.intercept_ - weight @ scaler.mean_
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    full_weight, full_bias = np.zeros((num_classes, weight.shape[1])), np.full(num_classes, -1e4)
    full_weight[regression.classes_], full_bias[regression.classes_] = weight, bias
    return full_weight, full_bias
