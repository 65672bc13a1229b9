"""The table and the figure say what the runs say."""

import re
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest

from uscl.reports.comparison_figure import comparison_figure
from uscl.stats.classification import classification_metrics
from uscl.stats.evaluation_summary import summarise
from uscl.stats.predictions import Predictions
from uscl_plugin.comparison.comparison import METRICS, Row
from uscl_plugin.comparison.table import comparison_table

CLASSES = ['a', 'b', 'c']


def predictions(skill, seed, count=40):
    """`count` videos of one frame, of ten patients; the higher the skill, the better."""
    rng = np.random.default_rng(100 * seed + round(10 * skill))
    labels = np.arange(count) % 3
    scores = rng.random((count, 3)) + skill * np.eye(3)[labels]
    names = np.array([f'v{k:02d}' for k in range(count)])
    groups = np.array([f'p{k // 4}' for k in range(count)])
    return Predictions(scores / scores.sum(1, keepdims=True), labels, names, groups, names)


@pytest.fixture(scope='module')
def runs():
    skills = {'random': 0.0, 'simclr': 0.4, 'uscl': 0.8}
    return {
        name: {'inner-val': {seed: predictions(skill, seed) for seed in range(3)}} for name, skill in skills.items()
    }


@pytest.fixture(scope='module')
def rows(runs):
    found = []
    for name, by_selection in runs.items():
        for seed, run in by_selection['inner-val'].items():
            metrics = {key: classification_metrics(run, 3)[key] for key in METRICS}
            trained = {} if name == 'random' else {'steps': 80, 'views': 5040, 'epochs': 10}
            found.append(Row(name, seed, metrics=metrics | {'box AP50': 0.1 * (seed + 1)}, seconds=90.0, **trained))
    return [*found, Row('te', 0, status='failed: a | b\n  second line')]


def lines(table, heading):
    part = table.split(heading, 1)[1].split('\n### ')[0]
    return [[cell.strip() for cell in line.strip('|').split(' | ')] for line in part.splitlines() if line[:1] == '|']


def test_means_spreads_costs_and_failures(runs, rows):
    table = comparison_table(rows, summarise(runs, CLASSES, 100), 'uscl')
    results = {line[0]: line for line in lines(table, 'Tested on')}
    for name, by_selection in runs.items():
        accuracy = [100 * classification_metrics(run, 3)['accuracy'] for run in by_selection['inner-val'].values()]
        assert results[name][1] == '3'
        assert results[name][2].startswith(f'{fmean(accuracy):.1f} %')
        assert results[name][2].endswith(f'SD {stdev(accuracy):.1f}')
        assert results[name][5] == '20.0 %, SD 10.0'  # of 10, 20 and 30
        assert results[name][6:] == (['–', '–', '1.5'] if name == 'random' else ['80', '5,040', '1.5'])
    assert 'te' not in results
    single = lines(table, '### Every run')
    assert len(single) == 2 + len(rows)
    assert single[-1][0] == 'te' and single[-1][-1] == 'failed: a \\| b second line'
    assert single[2][2:5] == [f'{100 * rows[0].metrics[name]:.1f}' for name in METRICS]


@pytest.mark.parametrize('reference', ['random', 'simclr', 'uscl'])
def test_differences_are_reference_minus_the_others(runs, rows, reference):
    table = comparison_table(rows, summarise(runs, CLASSES, 100), reference)
    found = {line[0]: line for line in lines(table, f'### {reference} minus the others')[2:]}
    assert set(found) == set(runs) - {reference}
    for other, line in found.items():
        for position, metric in enumerate(METRICS, start=1):
            mean, low, high = (float(x.replace('−', '-')) for x in re.findall(r'[+−]?\d+\.\d', line[position])[:3])
            expected = fmean(
                classification_metrics(runs[reference]['inner-val'][seed], 3)[metric]
                - classification_metrics(runs[other]['inner-val'][seed], 3)[metric]
                for seed in range(3)
            )
            assert mean == pytest.approx(100 * expected, abs=0.051)
            assert low <= mean <= high


def test_a_detector_that_failed_takes_nothing_else_out_of_the_table(runs, rows):
    values = {('random', 0): 0.021, ('random', 1): 0.033, ('random', 2): None, ('uscl', 0): 0.5}
    found = []
    for row in rows[:-1]:
        metrics = {key: value for key, value in row.metrics.items() if key in METRICS}
        measure = values.get((row.method, row.seed))
        metrics |= {} if measure is None else {'mask AP': measure}
        status = 'finished' if measure is not None else 'failed: detector: x'
        found.append(replace(row, metrics=metrics, status=status))
    table = comparison_table(found, summarise(runs, CLASSES, 100), 'uscl', 'Of lesions.')
    assert '\n\nOf lesions.\n\n' in table
    results = {line[0]: line for line in lines(table, 'Tested on')}
    assert [results[name][1] for name in runs] == ['3', '3', '3']
    # (2.1 + 3.3) / 2 = 2.7; sqrt((0.6² + 0.6²) / 1) = 0.85
    assert [results[name][5] for name in runs] == ['2.7 %, SD 0.8 (seeds: 2)', '–', '50.0 % (seeds: 1)']
    single = lines(table, '### Every run')[2:]
    assert [line[5] for line in single] == ['2.1', '3.3', '–', '–', '–', '–', '50.0', '–', '–']
    assert [line[-1] == 'finished' for line in single] == [True, True, False, False, False, False, True, False, False]


def test_rows_of_one_file_have_one_set_of_keys(rows):
    given = [row.as_dict(['box AP50']) for row in rows]
    assert len({tuple(row) for row in given}) == 1
    assert [row['box AP50'] for row in given] == [
        pytest.approx(0.1 * (seed + 1)) for _ in range(3) for seed in range(3)
    ] + [None]


def test_before_anything_finished(rows):
    table = comparison_table(rows[-1:], None, 'uscl')
    assert 'te' in table and 'Tested on' not in table


def test_figure_shows_every_seed_mean_and_interval(runs):
    summary = summarise(runs, CLASSES, 100)
    axes = comparison_figure(summary, highlight='uscl').axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(runs)
    for line, (name, by_selection) in enumerate(runs.items()):
        values = summary['levels']['video']['results'][name]['inner-val']['metrics']['accuracy']
        drawn = [artist for artist in axes.lines if len(artist.get_ydata()) and artist.get_ydata()[0] == line]
        interval, seeds = drawn[0], drawn[1]
        np.testing.assert_allclose(interval.get_xdata(), [100 * values['low'], 100 * values['high']])
        expected = [100 * classification_metrics(run, 3)['accuracy'] for run in by_selection['inner-val'].values()]
        np.testing.assert_allclose(sorted(seeds.get_xdata()), sorted(expected))
        mean = next(artist for artist in axes.lines if list(artist.get_ydata()) == [line - 0.3, line + 0.3])
        np.testing.assert_allclose(mean.get_xdata(), 100 * values['mean'])


def test_figure_shows_the_detectors_seeds_and_mean_beside(runs):
    summary = summarise(runs, CLASSES, 100)
    values = {'random': [0.1, 0.3], 'simclr': [], 'uscl': [0.4]}
    figure = comparison_figure(
        summary, highlight='uscl', measures={'box AP': values, 'box AP50': {}, 'mask AP': values}
    )
    assert [axes.get_xlabel()[:7].strip() for axes in figure.axes[1:]] == ['box AP', 'mask AP']
    for axes in figure.axes[1:]:
        assert axes.get_ylim() == figure.axes[0].get_ylim()
        drawn = [
            (list(artist.get_ydata()), list(artist.get_xdata())) for artist in axes.lines if len(artist.get_ydata())
        ]
        expected = [([0, 0], [10, 30]), ([-0.3, 0.3], [20, 20]), ([2], [40]), ([1.7, 2.3], [40, 40])]
        assert [y for y, _ in drawn] == [y for y, _ in expected]
        for (_, found), (_, wanted) in zip(drawn, expected, strict=True):
            np.testing.assert_allclose(found, wanted)
