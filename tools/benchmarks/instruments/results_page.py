"""Tables of stored results, put between the marks of a Markdown page."""

import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from uscl.core.tables import markdown
from uscl.stats.bootstrap import PatientStatistics, patient_weights, percentile_interval, seed_weights
from uscl.stats.evaluation_summary import summarise
from uscl.stats.ordinal import quadratic_kappa
from uscl.stats.summary_tables import METRIC_NAMES, estimate, percent

from .stored_results import StoredResults

RESAMPLES, SEED = 10_000, 0
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
    found = _measure(results)
    header = ['Method', 'Seeds', *(METRIC_NAMES[name] for name in _SHOWN), *(['Kappa'] if results.is_ordered else [])]
    header += ['Steps', 'Views']
    rows = []
    for method, values in found['methods'].items():
        facts = results.facts.get(method, {})
        counts = [f'{facts[key]:,}' if key in facts else '–' for key in ('steps', 'views')]
        rows.append([method, str(len(results.runs[method])), *map(_cell, values.values()), *counts])
    chance = [f'{percent(value)} %' for value in found['chance']]
    rows.append(
        [f'Chance: always “{found["majority"]}”', '', *chance, *(['0.000'] if results.is_ordered else []), '', '']
    )
    return f'{_intro(results)}\n\n{markdown(header, rows)}'


def differences_table(results: StoredResults, reference: str) -> str:
    """Every other method minus the reference, in percentage points; paired by patient, and by seed where they agree."""
    if reference not in results.runs:
        raise ValueError(f'{results.title}: no method {reference}, but {", ".join(results.runs)}: correct the mark.')
    found = _measure(results)['samples']
    names = [*_SHOWN, *(['kappa'] if results.is_ordered else [])]
    header = [f'Minus {reference}', *(METRIC_NAMES.get(name, 'Kappa') for name in names)]
    rows = []
    for method, (means, samples) in found.items():
        if method == reference:
            continue
        cells = []
        for name in names:
            low, high = percentile_interval(samples[name] - found[reference][1][name])
            entry = {'mean': means[name] - found[reference][0][name], 'low': low, 'high': high, 'name': name}
            cells.append(_cell(entry, sign=True))
        rows.append([method, *cells])
    return markdown(header, rows)


def _measure(results: StoredResults) -> dict[str, Any]:
    runs = results.predictions()
    summary = summarise(runs, results.classes, RESAMPLES, SEED)
    level = summary['levels']['video']
    patients = np.unique(results.patients)
    weights = patient_weights(len(patients), RESAMPLES, SEED)
    methods, samples = {}, {}
    for method, by_selection in runs.items():
        tables = [PatientStatistics.of(run, len(results.classes)) for run in by_selection['fixed'].values()]
        seeds = seed_weights(len(tables), RESAMPLES, SEED + 1)
        drawn = {name: np.zeros(RESAMPLES) for name in (*_SHOWN, 'kappa')}
        means = dict.fromkeys(drawn, 0.0)
        for k, table in enumerate(tables):
            resampled, whole = table.metrics(weights), table.metrics(np.ones((1, len(patients))))
            resampled['kappa'] = quadratic_kappa(np.tensordot(weights, table.confusion, axes=1))
            whole['kappa'] = quadratic_kappa(table.confusion.sum(axis=0))[None]
            for name in drawn:
                drawn[name] += seeds[:, k] * resampled[name]
                means[name] += float(whole[name][0]) / len(tables)
        samples[method] = (means, drawn)
        values = {name: level['results'][method]['fixed']['metrics'][name] | {'name': name} for name in _SHOWN}
        if results.is_ordered:
            low, high = percentile_interval(drawn['kappa'])
            values['kappa'] = {'mean': means['kappa'], 'low': low, 'high': high, 'name': 'kappa'}
        methods[method] = values
    chance = [level['chance'][name] for name in _SHOWN]
    return {'methods': methods, 'samples': samples, 'chance': chance, 'majority': level['majority']}


def _cell(found: Mapping[str, Any], sign: bool = False) -> str:
    if found['name'] != 'kappa':
        return estimate(found, unit='' if sign else ' %', sign=sign)
    mark = '+' if sign else ''
    text = f'{found["mean"]:{mark}.3f} ({found["low"]:{mark}.3f} to {found["high"]:{mark}.3f})'
    return text.replace('-', '−')


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
