"""Tables of stored results, put between the marks of a Markdown page."""

import re
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from uscl.core.tables import markdown
from uscl.stats.bootstrap import PatientStatistics, patient_weights, percentile_interval, seed_weights, weighted_mean
from uscl.stats.evaluation_summary import summarise
from uscl.stats.ordinal import quadratic_kappa
from uscl.stats.summary_tables import METRIC_NAMES, estimate, minus, percent

from .stored_results import StoredResults

RESAMPLES, SEED = 10_000, 0
_SELECTION = 'fixed'
_SHOWN = ('accuracy', 'balanced_accuracy', 'macro_auroc')
_MARK = re.compile(r'(<!-- results: (\S+)(?: minus (\S+))? -->\n).*?(<!-- end results -->)', re.DOTALL)


def render_page(page: str, folder: Path) -> str:
    """Fill all marks of a page: ``<!-- results: NAME.json minus METHOD -->`` … ``<!-- end results -->``.

    Args:
        page: Text of the page.
        folder: Folder of the stored results.

    Returns:
        The page; everything outside of the marks is as it was. With ``minus METHOD``, the block shows how every other
        method differs from that one; without, the values themselves.

    Raises:
        FileNotFoundError: A mark names a file that is not there.
        ValueError: A mark names a method that its file does not have.
    """

    def fill(mark: re.Match) -> str:
        results = StoredResults.load(folder / mark[2])
        block = values_table(results) if mark[3] is None else differences_table(results, mark[3])
        return f'{mark[1]}\n{block}\n\n{mark[4]}'

    return _MARK.sub(fill, page)


def values_table(results: StoredResults) -> str:
    """One row per method: mean over seeds, 95 % interval over patients and seeds, SD over seeds."""
    level, kappas = _summarise(results)['levels']['video'], _kappas(results)
    header = ['Method', 'Seeds', *(METRIC_NAMES[name] for name in _SHOWN), *['Kappa'] * results.is_ordered]
    rows = []
    for method, by_seed in results.runs.items():
        metrics, facts = level['results'][method][_SELECTION]['metrics'], results.facts.get(method, {})
        cells = [estimate(metrics[name]) for name in _SHOWN]
        cells += [_kappa_cell(*kappas[method])] * results.is_ordered
        counts = [f'{facts[key]:,}' if key in facts else '–' for key in ('steps', 'views')]
        rows.append([method, str(len(by_seed)), *cells, *counts])
    always = [f'{percent(level["chance"][name])} %' for name in _SHOWN] + ['0.000'] * results.is_ordered
    rows.append([f'Chance: always “{level["majority"]}”', '', *always, '', ''])
    return f'{_intro(results)}\n\n{markdown([*header, "Steps", "Views"], rows)}'


def differences_table(results: StoredResults, reference: str) -> str:
    """Every other method minus the reference, in percentage points; paired by patient, and by seed where they agree."""
    if reference not in results.runs:
        raise ValueError(f'{results.title}: no method {reference}, but {", ".join(results.runs)}: correct the mark.')
    summary, kappas = _summarise(results), _kappas(results)
    header = [f'Minus {reference}', *(METRIC_NAMES[name] for name in _SHOWN), *['Kappa'] * results.is_ordered]
    rows = []
    for method in [name for name in results.runs if name != reference]:
        found = minus(summary, 'video', _SELECTION, method, reference)
        cells = [estimate(found[name], unit='', sign=True) for name in _SHOWN]
        if results.is_ordered:
            (mean, samples), (least, others) = kappas[method], kappas[reference]
            cells.append(_kappa_cell(mean - least, samples - others, sign='+'))
        rows.append([method, *cells])
    return markdown(header, rows)


def _summarise(results: StoredResults) -> dict[str, Any]:
    return summarise(results.predictions(_SELECTION), results.classes, RESAMPLES, SEED)


def _kappas(results: StoredResults) -> dict[str, tuple[float, np.ndarray]]:
    """Method → quadratic kappa, mean over seeds, and its values in the resamples of :func:`summarise`."""
    weights = patient_weights(len(set(results.patients)), RESAMPLES, SEED)
    found = {}
    for method, by_selection in results.predictions(_SELECTION).items():
        tables = [
            PatientStatistics.of(run, len(results.classes)).confusion for run in by_selection[_SELECTION].values()
        ]
        drawn = [quadratic_kappa(np.tensordot(weights, table, axes=1)) for table in tables]
        shares = seed_weights(len(tables), RESAMPLES, SEED + 1)
        mean = fmean(float(quadratic_kappa(table.sum(axis=0))) for table in tables)
        found[method] = mean, weighted_mean(np.stack(drawn, axis=1), shares)
    return found


def _kappa_cell(mean: float, samples: np.ndarray, sign: str = '') -> str:
    low, high = percentile_interval(samples)
    return f'{mean:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})'.replace('-', '−')


def _intro(results: StoredResults) -> str:
    counts = np.bincount(results.labels, minlength=len(results.classes))
    classes = ', '.join(f'{name} {count}' for name, count in zip(results.classes, counts, strict=True))
    seeds = fmean(len(by_seed) for by_seed in results.runs.values())
    drawn = 'patients and seeds' if seeds > 1 else 'patients'
    people = len(set(results.patients))
    return (
        f'{results.title}: {len(results.videos)} videos ({classes}) of {people} patients, by video, '
        f'{results.protocol}. Mean over seeds (95 % interval over {drawn}, {RESAMPLES:,} resamples), SD over seeds.'
    )
