"""Bootstrap over patients and seeds: how far metrics would vary with others. Exact, without loops over resamples.

Frames of one patient are alike, so patients are drawn, not frames. A resample draws as many patients as there are, with
replacement, and is stored as a vector of counts, one per patient. All metrics are functions of sums over patients or
over pairs of patients, so thousands of resamples are a few matrix products. Where a method was run with several seeds,
a resample draws as many of them, with replacement, and averages over those.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .classification import CLASS_METRICS, METRICS, check_classes, mean_of_defined
from .predictions import Predictions


@dataclass(frozen=True)
class PatientStatistics:
    """What P patients contribute to the metrics of a classifier with C classes.

    Attributes:
        patients: (P,) strings, sorted.
        confusion: (P, C, C) float64, counts by patient, true class and predicted class.
        wins: (C, P, P) float64: for class c, the number of pairs of a class-c row of the first patient and a row of
            another class of the second patient in which the first has the higher probability of c; ties count half.
    """

    patients: np.ndarray
    confusion: np.ndarray
    wins: np.ndarray

    @classmethod
    def of(cls, predictions: Predictions, num_classes: int) -> 'PatientStatistics':
        """Collect the statistics; memory grows with C · P².

        Raises:
            ValueError: There are no predictions, or labels or probabilities do not match C classes.
        """
        check_classes(predictions, num_classes)
        patients, patient = np.unique(predictions.groups, return_inverse=True)
        labels, scores = predictions.labels, predictions.probabilities
        confusion = np.zeros((len(patients), num_classes, num_classes))
        np.add.at(confusion, (patient, labels, scores.argmax(axis=1)), 1)
        wins = [won_pairs(scores[:, k], labels == k, patient, len(patients)) for k in range(num_classes)]
        return cls(patients, confusion, np.stack(wins))

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Metrics of B resamples, as defined by :func:`~uscl.stats.classification.classification_metrics`.

        Args:
            weights: (B, P), how often each patient occurs in each resample; at least one patient per resample.

        Returns:
            ``accuracy``, ``balanced_accuracy``, ``macro_f1`` and ``macro_auroc``, each (B,);
            :data:`~uscl.stats.classification.CLASS_METRICS`, each (B, C), NaN for a class absent from a resample
            (specificity: for a class that all of a resample has).
        """
        weights = np.asarray(weights, dtype=np.float64)
        confusion = np.tensordot(weights, self.confusion, axes=1)
        true, predicted, hits = confusion.sum(2), confusion.sum(1), confusion.diagonal(axis1=1, axis2=2)
        total = true.sum(axis=1, keepdims=True)
        won = np.stack([((weights @ wins) * weights).sum(axis=1) for wins in self.wins], axis=1)
        per_class = {
            'precision': np.where(true > 0, hits / np.maximum(predicted, 1), np.nan),
            'recall': _share(hits, true),
            'specificity': 1 - _share(predicted - hits, total - true),
            'f1': np.where(true > 0, _share(2 * hits, true + predicted), np.nan),
            'auroc': _share(won, true * (total - true)),
        }
        return {
            'accuracy': hits.sum(axis=1) / total[:, 0],
            'balanced_accuracy': mean_of_defined(per_class['recall']),
            'macro_f1': mean_of_defined(per_class['f1']),
            'macro_auroc': mean_of_defined(per_class['auroc']),
            **per_class,
        }


def won_pairs(scores: np.ndarray, positive: np.ndarray, patient: np.ndarray, num_patients: int) -> np.ndarray:
    """Count pairs of a positive and a negative row in which the positive scores higher, by the patients of both.

    Args:
        scores: (N,) real numbers.
        positive: (N,) booleans.
        patient: (N,) integers in [0, P).
        num_patients: P.

    Returns:
        (P, P) float64, with the positives' patients in rows; ties count half.
    """
    wins = np.zeros((num_patients, num_patients))
    for k in np.unique(patient[~positive]):
        negatives = np.sort(scores[~positive & (patient == k)])
        below = np.searchsorted(negatives, scores[positive], side='left')
        not_above = np.searchsorted(negatives, scores[positive], side='right')
        wins[:, k] = np.bincount(patient[positive], (below + not_above) / 2, minlength=num_patients)
    return wins


def patient_weights(num_patients: int, resamples: int, seed: int) -> np.ndarray:
    """(B, P) integers: how often each of P patients occurs in each of B resamples; rows sum to P."""
    shares = np.full(num_patients, 1 / num_patients)
    return np.random.default_rng(seed).multinomial(num_patients, shares, size=resamples)


def seed_weights(num_seeds: int, resamples: int, seed: int) -> np.ndarray:
    """(B, S) shares of S seeds in each of B resamples: how often each was drawn, over S; rows sum to 1.

    Methods with as many seeds get the same draws, so their differences are paired by seed.
    """
    return patient_weights(num_seeds, resamples, seed) / num_seeds


def resampled_metrics(
    runs: Sequence[PatientStatistics], weights: np.ndarray, seeds: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Metrics in B resamples of patients, averaged over runs on the same patients that differ in their seed.

    To compare two methods on the same resamples, subtract their results for the same ``weights``. Metrics that cannot
    vary are NaN: all of them with a single patient, those of a class that only one patient has, and the specificity of
    a class that all patients but one have exclusively.

    Args:
        runs: Statistics of at least one seed.
        weights: (B, P), see :func:`patient_weights`.
        seeds: (B, S) shares of the S runs, see :func:`seed_weights`; None for the plain mean over runs.

    Returns:
        As for :meth:`PatientStatistics.metrics`.

    Raises:
        ValueError: The runs have different patients, or their number does not match the weights.
    """
    patients = runs[0].patients
    if any(not np.array_equal(run.patients, patients) for run in runs) or weights.shape[1] != len(patients):
        raise ValueError('The compared runs have different patients: evaluate all on the same videos.')
    every = [run.metrics(weights) for run in runs]
    shares = np.full((len(weights), len(runs)), 1 / len(runs)) if seeds is None else seeds
    stacked = {name: np.stack([metrics[name] for metrics in every], axis=1) for name in every[0]}  # (B, S, …)
    means = {name: weighted_mean(values, shares) for name, values in stacked.items()}
    labels = runs[0].confusion.sum(axis=2)
    few_with = (labels > 0).sum(axis=0) < 2
    few_without = (labels.sum(axis=1, keepdims=True) > labels).sum(axis=0) < 2
    few = dict.fromkeys(METRICS, len(patients) < 2) | dict.fromkeys(CLASS_METRICS, few_with)
    few['specificity'] = few_without
    return {name: np.where(few[name], np.nan, values) for name, values in means.items()}


def percentile_interval(values: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Percentile interval over resamples, ignoring those in which the value is undefined.

    Args:
        values: (B,) or (B, K); may contain NaN.
        level: Fraction of the resamples inside the interval.

    Returns:
        (2,) or (2, K), low and high; NaN if no resample has a value.
    """
    ends = np.full((2, *values.shape[1:]), np.nan)
    defined = np.isfinite(values).any(axis=0)
    ends[:, defined] = np.nanquantile(values[:, defined], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return ends


def weighted_mean(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Mean over the second axis of (B, S, …), with shares (B, S); what has no share counts 0, also if undefined."""
    shares = shares.reshape(*shares.shape, *[1] * (values.ndim - 2))
    return np.where(shares > 0, values * shares, 0.0).sum(axis=1)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
