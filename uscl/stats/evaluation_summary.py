"""Means over seeds, spreads, intervals and differences of cross-validated classifiers, as numbers and as a table."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from uscl.core.escaping import for_markdown
from uscl.core.tables import markdown

from .bootstrap import PatientStatistics, patient_weights, percentile_interval, resampled_metrics, seed_weights
from .classification import CLASS_METRICS, METRICS, check_classes, classification_metrics
from .evaluation_answer import answer
from .predictions import Predictions
from .summary_tables import (
    OPTIMISTIC,
    class_table,
    describe_data,
    difference_table,
    level_title,
    result_table,
)

Runs = Mapping[str, Mapping[str, Mapping[int, Predictions]]]  # method → selection → seed → all test frames


def summarise(
    runs: Runs, classes: Sequence[str], resamples: int = 2000, seed: int = 0, untrained: Collection[str] = ()
) -> dict:
    """Summarise pooled out-of-fold predictions as plain JSON; undefined values are None.

    Intervals are 95 % percentile intervals over resamples of patients and, with several, of seeds. All runs share the
    resamples, so differences are paired. The intervals cover the choice of test patients and of seeds, not that of the
    training data. Spread over seeds is given as minimum, maximum and standard deviation (n - 1; None
    for one seed).

    Args:
        runs: Method → selection → seed → predictions of all test frames, each once.
        classes: Names of the C classes.
        resamples: Number of resamples.
        seed: Seed of the resampling.
        untrained: Methods that are untrained networks, for :func:`.evaluation_answer.answer`.

    Returns:
        ``answer`` (sentences), ``classes``, ``methods``, ``selections``, ``honest_selection``, ``num_patients``
        (groups), ``num_unknown_patients`` (groups that are a single video), ``resamples``, ``seed``,
        ``resamples_without_a_class`` (fraction of resamples that lack a labelled class) and ``levels``:
        ``frame`` and ``video`` → a dict of

        - ``num``, ``support`` (one number per class), ``chance`` (:data:`METRICS` of always predicting the most
          frequent class) and ``majority`` (its name);
        - ``results``: method → selection → ``metrics`` (name → ``mean``, ``low``, ``high``, ``min``, ``max``, ``std``,
          ``by_seed``), ``classes`` (name → measure → the same) and ``confusion`` (seeds summed);
        - ``differences``: list of ``first``, ``second``, ``selection``, ``metrics`` (name → ``mean``, ``low``, ``high``
          of second minus first), for every pair of methods;
        - ``optimism``: the same for ``best-on-test`` minus the honest selection of one ``method``.

    Raises:
        ValueError: There is nothing to summarise, or the runs cover different frames.
    """
    first = _check(runs, len(classes))
    selections = list(dict.fromkeys(name for by_selection in runs.values() for name in by_selection))
    groups, member = np.unique(first.groups, return_inverse=True)
    weights = patient_weights(len(groups), resamples, seed)
    occurs = np.zeros((len(groups), len(classes)))
    occurs[member, first.labels] = 1
    lacking = (weights @ occurs[:, occurs.any(axis=0)] == 0).any(axis=1)
    honest = honest_selection(selections)
    summary = {
        'classes': list(classes),
        'methods': list(runs),
        'selections': selections,
        'honest_selection': honest,
        'num_patients': len(groups),
        'num_unknown_patients': sum(group.startswith('video:') for group in groups.tolist()),
        'resamples': resamples,
        'seed': seed,
        'resamples_without_a_class': float(lacking.mean()),
        'levels': {
            'frame': _level(runs, classes, weights, honest, seed),
            'video': _level(_by_video(runs), classes, weights, honest, seed),
        },
    }
    return {'answer': answer(summary, untrained)} | summary


def honest_selection(selections: Sequence[str]) -> str:
    """The selection to report: ``inner-val``, else ``last`` or, for probes, ``fixed``, else the first.

    >>> honest_selection(['best-on-test', 'last', 'inner-val'])
    'inner-val'
    """
    return next((name for name in ('inner-val', 'last', 'fixed') if name in selections), selections[0])


def markdown_table(summary: Mapping, setup: str = '') -> str:
    """The summary as Markdown: the answer, results by level, metrics per class, differences between methods.

    Args:
        summary: See :func:`summarise`.
        setup: Sentences that precede those on the data, with a space at the end.
    """
    data = for_markdown(describe_data(summary))
    parts = [
        *map(for_markdown, summary['answer']),
        f'{setup}Tested on {data}. Each cell: mean over seeds (95 % interval over patients and seeds), SD: standard '
        'deviation over seeds.',
    ]
    if OPTIMISTIC in summary['selections']:
        parts[-1] += f' {OPTIMISTIC} is optimistic: the epoch (or setting) was chosen on the test folds.'
    for level in ('video', 'frame'):
        parts += [f'### {level_title(summary, level)}', markdown(*result_table(summary, level))]
    for level in ('video', 'frame'):
        parts += [
            f'### Classes, {level} level, chosen by {summary["honest_selection"]}',
            markdown(*class_table(summary, level)),
        ]
    for level in ('video', 'frame'):
        header, rows = difference_table(summary, level)
        if rows:
            parts += [f'### Differences in percentage points, {level} level', markdown(header, rows)]
    return '\n\n'.join(parts) + '\n'


def _by_video(runs: Runs) -> dict[str, dict[str, dict[int, Predictions]]]:
    return {
        method: {
            name: {seed: run.by_video() for seed, run in by_seed.items()} for name, by_seed in by_selection.items()
        }
        for method, by_selection in runs.items()
    }


@dataclass(frozen=True)
class _Measured:
    """One method and selection: metrics by seed, and their mean over seeds in every resample."""

    by_seed: dict[int, dict]
    samples: dict[str, np.ndarray]

    def mean(self, name: str) -> np.ndarray:
        """Mean over seeds; one number, or one per class."""
        return np.mean([found[name] for found in self.by_seed.values()], axis=0)

    def minus(self, other: '_Measured') -> dict[str, dict]:
        """Paired differences in all metrics."""
        return {
            name: _estimate(self.mean(name) - other.mean(name), self.samples[name] - other.samples[name])
            for name in METRICS
        }


def _check(runs: Runs, num_classes: int) -> Predictions:
    """Any one of the runs, after checking that all cover the same frames."""
    every = [
        (f'{method}, {selection}, seed {seed}', run)
        for method, by_selection in runs.items()
        for selection, by_seed in by_selection.items()
        for seed, run in by_seed.items()
    ]
    if not every or not all(by_seed for by_selection in runs.values() for by_seed in by_selection.values()):
        raise ValueError('A method and selection has no run to summarise: evaluate at least one seed.')
    expected = None
    for name, run in every:
        check_classes(run, num_classes)
        if len(set(run.paths.tolist())) != len(run):
            raise ValueError(f'{name} predicts a frame more than once: pool each test fold only once.')
        frames = sorted(
            zip(*(getattr(run, key).tolist() for key in ('paths', 'labels', 'videos', 'groups')), strict=True)
        )
        expected = frames if expected is None else expected
        if frames != expected:
            raise ValueError(f'{name} covers other frames than {every[0][0]}: evaluate all on the same videos.')
    return every[0][1]


def _level(runs: Runs, classes: Sequence[str], weights: np.ndarray, honest: str, seed: int) -> dict:
    """Everything for one level, see :func:`summarise`."""
    measured = {
        method: {name: _measure(by_seed, len(classes), weights, seed) for name, by_seed in by_selection.items()}
        for method, by_selection in runs.items()
    }
    any_run = next(iter(next(iter(next(iter(runs.values())).values())).values()))
    support = np.bincount(any_run.labels, minlength=len(classes))
    majority = int(support.argmax())
    always = replace(any_run, probabilities=np.eye(len(classes))[np.full(len(any_run), majority)])
    chance = classification_metrics(always, len(classes))
    return {
        'num': len(any_run),
        'support': dict(zip(classes, support.tolist(), strict=True)),
        'majority': classes[majority],
        'chance': {name: _number(chance[name]) for name in METRICS},
        'results': {
            method: {name: _result(found, classes) for name, found in by_selection.items()}
            for method, by_selection in measured.items()
        },
        'differences': [
            {
                'first': first,
                'second': second,
                'selection': name,
                'metrics': measured[second][name].minus(measured[first][name]),
            }
            for first, second in combinations(measured, 2)
            for name in measured[first]
            if name in measured[second]
        ],
        'optimism': [
            {'method': method, 'metrics': found[OPTIMISTIC].minus(found[honest])}
            for method, found in measured.items()
            if honest != OPTIMISTIC and {honest, OPTIMISTIC} <= set(found)
        ],
    }


def _measure(by_seed: Mapping[int, Predictions], num_classes: int, weights: np.ndarray, seed: int) -> _Measured:
    seeds = seed_weights(len(by_seed), len(weights), seed + 1)
    statistics = [PatientStatistics.of(run, num_classes) for run in by_seed.values()]
    return _Measured(
        {seed: classification_metrics(run, num_classes) for seed, run in by_seed.items()},
        resampled_metrics(statistics, weights, seeds),
    )


def _result(measured: _Measured, classes: Sequence[str]) -> dict:
    return {
        'metrics': {name: _over_seeds(measured, name) for name in METRICS},
        'classes': {
            label: {name: _over_seeds(measured, name, k) for name in CLASS_METRICS} for k, label in enumerate(classes)
        },
        'confusion': np.sum([found['confusion'] for found in measured.by_seed.values()], axis=0).tolist(),
    }


def _over_seeds(measured: _Measured, name: str, k: int | None = None) -> dict:
    """Mean, interval and spread of a metric; for class ``k`` if it has one value per class."""
    at: Any = ... if k is None else (..., k)
    by_seed = {seed: float(np.asarray(found[name])[at]) for seed, found in measured.by_seed.items()}
    values = np.array(list(by_seed.values()))
    return {
        **_estimate(measured.mean(name)[at], measured.samples[name][at]),
        'min': _number(values.min()),
        'max': _number(values.max()),
        'std': _number(values.std(ddof=1)) if len(values) > 1 else None,
        'by_seed': {str(seed): _number(value) for seed, value in by_seed.items()},
    }


def _estimate(mean: float | np.ndarray, samples: np.ndarray) -> dict[str, float | None]:
    low, high = percentile_interval(samples)
    return {'mean': _number(mean), 'low': _number(low), 'high': _number(high)}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
