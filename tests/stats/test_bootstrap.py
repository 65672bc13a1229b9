import time

import numpy as np
import pytest

from uscl.stats.bootstrap import (
    PatientStatistics,
    patient_weights,
    percentile_interval,
    resampled_metrics,
    seed_weights,
    won_pairs,
)
from uscl.stats.classification import METRICS, classification_metrics
from uscl.stats.predictions import Predictions


def sample(seed, patients=12, classes=3, frames=120, decimals=None):
    """Patients of one class each, and of different numbers of frames; few decimals make ties."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, patients, frames)
    labels = (np.arange(patients) % classes)[patient]
    scores = rng.random((frames, classes)) + 0.4 * np.eye(classes)[labels]
    scores /= scores.sum(axis=1, keepdims=True)
    if decimals is not None:
        scores = scores.round(decimals)
    names = np.array([f'p{k:02d}' for k in patient])
    paths = np.array([f'{k}.png' for k in range(frames)])
    return Predictions(scores, labels, names, names, paths)


def repeat(predictions, patients, weight):
    """The rows of a resample, one by one."""
    rows = np.concatenate(
        [np.flatnonzero(predictions.groups == p) for p, w in zip(patients, weight, strict=True) for _ in range(w)]
    )
    return Predictions(**{name: values[rows] for name, values in vars(predictions).items()})


@pytest.mark.parametrize('classes', [2, 3, 4])
@pytest.mark.parametrize('decimals', [None, 1])
def test_resamples_equal_scikit_learn_on_the_repeated_rows(classes, decimals):
    predictions = sample(classes, classes=classes, decimals=decimals)
    statistics = PatientStatistics.of(predictions, classes)
    number = len(statistics.patients)
    absent = np.where(np.arange(number) % classes == 1, 0, 2)  # a resample without class 1
    weights = np.vstack([np.ones((1, number), int), absent, patient_weights(number, 30, seed=7)])
    found = statistics.metrics(weights)
    for k, weight in enumerate(weights):
        expected = classification_metrics(repeat(predictions, statistics.patients, weight), classes)
        for name, values in found.items():
            np.testing.assert_allclose(values[k], expected[name], rtol=1e-12, atol=1e-14, err_msg=name)
    assert np.isnan(found['recall'][1, 1]) and np.isfinite(found['balanced_accuracy'][1])


def test_won_pairs_against_loops():
    rng = np.random.default_rng(0)
    scores, positive, patient = rng.integers(0, 5, 40) / 4, rng.random(40) < 0.4, rng.integers(0, 6, 40)
    expected = np.zeros((6, 6))
    for i in np.flatnonzero(positive):
        for j in np.flatnonzero(~positive):
            expected[patient[i], patient[j]] += (scores[i] > scores[j]) + (scores[i] == scores[j]) / 2
    np.testing.assert_array_equal(won_pairs(scores, positive, patient, 6), expected)


def test_weights_draw_as_many_patients_with_replacement():
    weights = patient_weights(7, 4000, seed=0)
    assert (weights.sum(axis=1) == 7).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(weights.var(axis=0), 6 / 7, atol=0.08)  # multinomial: n p (1 - p)
    np.testing.assert_array_equal(weights, patient_weights(7, 4000, seed=0))
    assert not np.array_equal(weights, patient_weights(7, 4000, seed=1))


def test_a_resample_is_the_mean_over_seeds_of_the_same_patients():
    runs = [PatientStatistics.of(sample(0), 3), PatientStatistics.of(sample(0, decimals=1), 3)]
    weights = patient_weights(12, 50, seed=3)
    found = resampled_metrics(runs, weights)
    for name in METRICS:
        expected = (runs[0].metrics(weights)[name] + runs[1].metrics(weights)[name]) / 2
        np.testing.assert_allclose(found[name], expected)


def test_seeds_are_drawn_like_patients_against_loops():
    """Every resample by hand: its patients repeated row by row, its seeds one by one."""
    tables = [sample(0), sample(0, decimals=1), sample(0, decimals=0)]
    runs = [PatientStatistics.of(table, 3) for table in tables]
    weights, seeds = patient_weights(12, 25, seed=3), seed_weights(3, 25, seed=4)
    np.testing.assert_allclose(seeds.sum(axis=1), 1)
    assert {0.0, 2 / 3} <= set(seeds.ravel().round(12).tolist()) | {2 / 3}
    found = resampled_metrics(runs, weights, seeds)
    for b, (weight, shares) in enumerate(zip(weights, seeds, strict=True)):
        drawn = [k for k, share in enumerate(shares) for _ in range(round(3 * share))]
        assert len(drawn) == 3
        rows = [classification_metrics(repeat(tables[k], runs[k].patients, weight), 3) for k in drawn]
        for name in METRICS:
            np.testing.assert_allclose(found[name][b], np.mean([row[name] for row in rows]), err_msg=name)


def test_seeds_widen_the_interval_of_methods_that_depend_on_them():
    lucky, unlucky = sample(0), sample(0)
    unlucky = Predictions(**vars(unlucky) | {'probabilities': np.roll(unlucky.probabilities, 1, axis=1)})
    runs = [PatientStatistics.of(table, 3) for table in (lucky, unlucky)]
    weights, seeds = patient_weights(12, 2000, seed=3), seed_weights(2, 2000, seed=4)
    fixed, drawn = (
        percentile_interval(resampled_metrics(runs, weights, shares)['accuracy']) for shares in (None, seeds)
    )
    assert drawn[1] - drawn[0] > 1.5 * (fixed[1] - fixed[0])
    same = [runs[0]] * 2
    np.testing.assert_allclose(
        resampled_metrics(same, weights, seeds)['accuracy'], resampled_metrics(same, weights)['accuracy']
    )


def test_a_method_does_not_differ_from_itself_in_any_resample():
    statistics, weights = PatientStatistics.of(sample(0), 3), patient_weights(12, 50, seed=3)
    first, second = resampled_metrics([statistics], weights), resampled_metrics([statistics] * 2, weights)
    np.testing.assert_allclose(percentile_interval(second['macro_f1'] - first['macro_f1']), 0, atol=1e-14)
    assert np.ptp(percentile_interval(first['macro_f1'])) > 0.02


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Accuracy of 40 patients with 5 frames each that are right or wrong together."""
    rng, covered = np.random.default_rng(0), 0
    weights = patient_weights(40, 400, seed=1)
    for _ in range(200):
        right = np.repeat(rng.random(40) < 0.7, 5)
        groups = np.repeat([f'{k:02d}' for k in range(40)], 5)
        scores = np.eye(2)[np.where(right, 1, 0)]
        predictions = Predictions(scores, np.ones(200, np.int64), groups, groups, np.arange(200).astype(str))
        samples = resampled_metrics([PatientStatistics.of(predictions, 2)], weights)
        low, high = percentile_interval(samples['accuracy'])
        covered += low <= 0.7 <= high
    assert 0.88 <= covered / 200 <= 0.99  # resampling frames would cover 0.6


def test_one_patient_has_no_interval():
    found = resampled_metrics([PatientStatistics.of(sample(0, patients=1), 3)], patient_weights(1, 20, seed=0))
    assert all(np.isnan(values).all() for values in found.values())
    assert np.isnan(percentile_interval(found['accuracy'])).all()


def test_a_class_of_one_patient_has_no_interval_of_its_own():
    found = resampled_metrics([PatientStatistics.of(sample(0, patients=5), 3)], patient_weights(5, 200, seed=0))
    # classes 0, 1, 2, 0, 1
    assert np.isnan(found['recall'][:, 2]).all() and np.isfinite(found['recall'][:, 0]).any()
    assert np.isfinite(found['balanced_accuracy']).all()
    assert np.isfinite(found['specificity'][:, 2]).any()  # of the four other patients


def test_the_specificity_of_what_all_patients_but_one_have_has_no_interval():
    groups = np.array([f'p{k // 4}' for k in range(20)])
    labels = np.where(groups == 'p0', 0, 1)
    scores = np.random.default_rng(0).dirichlet([1, 1], 20)
    predictions = Predictions(scores, labels, groups, groups, np.arange(20).astype(str))
    found = resampled_metrics([PatientStatistics.of(predictions, 2)], patient_weights(5, 200, seed=0))
    assert np.isnan(found['specificity'][:, 1]).all() and np.isfinite(found['specificity'][:, 0]).any()
    assert np.isnan(found['recall'][:, 0]).all() and np.isfinite(found['recall'][:, 1]).any()


def test_undefined_resamples_are_left_out_of_the_percentiles():
    values = np.r_[np.linspace(0, 1, 101), np.full(50, np.nan)]
    np.testing.assert_allclose(percentile_interval(values), [0.025, 0.975])
    both = percentile_interval(np.stack([values, np.full(151, np.nan)], axis=1), level=0.9)
    np.testing.assert_allclose(both, [[0.05, np.nan], [0.95, np.nan]])


def test_runs_of_other_patients_are_not_compared():
    runs = [PatientStatistics.of(sample(0), 3), PatientStatistics.of(sample(0, patients=11), 3)]
    with pytest.raises(ValueError, match='patients'):
        resampled_metrics(runs, patient_weights(12, 5, seed=0))
    with pytest.raises(ValueError, match='patients'):
        resampled_metrics(runs[:1], patient_weights(11, 5, seed=0))


def test_thousands_of_resamples_are_fast():
    began = time.perf_counter()
    statistics = PatientStatistics.of(sample(0, patients=100, frames=5000), 3)
    resampled_metrics([statistics], patient_weights(100, 2000, seed=0))
    assert time.perf_counter() - began < 3  # a loop over resamples with scikit-learn takes a minute
