import json
from dataclasses import replace

import numpy as np
import pytest

from uscl.stats.bootstrap import PatientStatistics, patient_weights, resampled_metrics, seed_weights
from uscl.stats.classification import CLASS_METRICS, METRICS, classification_metrics
from uscl.stats.evaluation_summary import honest_selection, markdown_table, summarise
from uscl.stats.predictions import Predictions

CLASSES = ['covid', 'pneumonia', 'regular']


def make(strength, seed, patients=10):
    """Four frames a video, two videos a patient; every seed has another order of rows, as other folds would."""
    rng = np.random.default_rng(seed)
    video = np.repeat(np.arange(2 * patients), 4)
    labels = video // 2 % 3
    scores = np.exp(rng.normal(size=(len(video), 3)) + strength * np.eye(3)[labels])
    order = rng.permutation(len(video))
    predictions = Predictions(
        scores / scores.sum(axis=1, keepdims=True),
        labels,
        np.array([f'v{k}' for k in video]),
        np.array([f'p{k // 2}' for k in video]),
        np.array([f'{k}.png' for k in range(len(video))]),
    )
    return Predictions(**{name: values[order] for name, values in vars(predictions).items()})


@pytest.fixture(scope='module')
def runs():
    """Seeds 3 and 5 of two methods; the second is better."""
    return {
        method: {
            selection: {seed: make(strength + extra, seed + shift) for seed in (3, 5)}
            for selection, extra, shift in (('best-on-test', 0.5, 10), ('inner-val', 0, 20))
        }
        for method, strength in (('random', 0.0), ('us|cl', 1.0))
    }


@pytest.fixture(scope='module')
def summary(runs):
    return summarise(runs, CLASSES, resamples=300, seed=4)


@pytest.mark.parametrize('level', ['frame', 'video'])
@pytest.mark.parametrize('metric', METRICS)
def test_means_spreads_and_intervals(runs, summary, level, metric):
    found = summary['levels'][level]['results']['us|cl']['inner-val']['metrics'][metric]
    tables = [run if level == 'frame' else run.by_video() for run in runs['us|cl']['inner-val'].values()]
    values = [classification_metrics(table, 3)[metric] for table in tables]
    assert found['by_seed'] == pytest.approx({'3': values[0], '5': values[1]})
    assert found['mean'] == pytest.approx(sum(values) / 2)
    assert (found['min'], found['max']) == pytest.approx((min(values), max(values)))
    assert found['std'] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    seeds = seed_weights(len(tables), 300, 5)
    statistics = [PatientStatistics.of(table, 3) for table in tables]
    samples = resampled_metrics(statistics, patient_weights(10, 300, 4), seeds)
    assert [found['low'], found['high']] == pytest.approx(np.nanquantile(samples[metric], [0.025, 0.975]).tolist())
    assert found['low'] <= found['mean'] <= found['high']


@pytest.mark.parametrize('level', ['frame', 'video'])
def test_differences_are_paired_and_later_minus_first(runs, summary, level):
    found = summary['levels'][level]
    assert [(d['first'], d['second'], d['selection']) for d in found['differences']] == [
        ('random', 'us|cl', 'best-on-test'),
        ('random', 'us|cl', 'inner-val'),
    ]
    weights, samples = patient_weights(10, 300, 4), {}
    for method, by_selection in runs.items():
        tables = [run if level == 'frame' else run.by_video() for run in by_selection['inner-val'].values()]
        statistics = [PatientStatistics.of(table, 3) for table in tables]
        samples[method] = resampled_metrics(statistics, weights, seed_weights(len(tables), 300, 5))
    for metric in METRICS:
        pair = found['differences'][1]['metrics'][metric]
        means = [found['results'][method]['inner-val']['metrics'][metric]['mean'] for method in runs]
        assert pair['mean'] == pytest.approx(means[1] - means[0])
        expected = np.nanquantile(samples['us|cl'][metric] - samples['random'][metric], [0.025, 0.975])
        assert [pair['low'], pair['high']] == pytest.approx(expected.tolist())


def test_optimism_is_best_on_test_minus_the_honest_selection(summary):
    assert summary['honest_selection'] == 'inner-val'
    for level in summary['levels'].values():
        for entry in level['optimism']:
            results = level['results'][entry['method']]
            expected = (
                results['best-on-test']['metrics']['accuracy']['mean']
                - results['inner-val']['metrics']['accuracy']['mean']
            )
            assert entry['metrics']['accuracy']['mean'] == pytest.approx(expected)
        assert [entry['method'] for entry in level['optimism']] == ['random', 'us|cl']


def test_confusion_adds_seeds_and_classes_are_means(runs, summary):
    found = summary['levels']['frame']['results']['random']['inner-val']
    every = [classification_metrics(run, 3) for run in runs['random']['inner-val'].values()]
    np.testing.assert_array_equal(found['confusion'], np.sum([one['confusion'] for one in every], axis=0))
    for k, label in enumerate(CLASSES):
        for name in CLASS_METRICS:
            assert found['classes'][label][name]['mean'] == pytest.approx(np.mean([one[name][k] for one in every]))


def test_chance_names_the_most_frequent_class(summary):
    video = summary['levels']['video']
    assert (video['support'], video['majority']) == ({'covid': 8, 'pneumonia': 6, 'regular': 6}, 'covid')
    assert video['chance'] == pytest.approx(
        {'accuracy': 0.4, 'balanced_accuracy': 1 / 3, 'macro_f1': (2 * 0.4 / 1.4) / 3, 'macro_auroc': 0.5}
    )


def test_the_same_seed_gives_the_same_plain_json(runs, summary):
    text = json.dumps(summary, allow_nan=False)
    assert text == json.dumps(summarise(runs, CLASSES, resamples=300, seed=4), allow_nan=False)
    assert text != json.dumps(summarise(runs, CLASSES, resamples=300, seed=5), allow_nan=False)


def test_order_of_rows_does_not_matter(runs, summary):
    def shuffled(run):
        order = np.random.default_rng(0).permutation(len(run))
        return Predictions(**{name: values[order] for name, values in vars(run).items()})

    again = {m: {s: {k: shuffled(run) for k, run in b.items()} for s, b in a.items()} for m, a in runs.items()}
    found = summarise(again, CLASSES, resamples=300, seed=4)
    for level in ('frame', 'video'):
        one, two = (x['levels'][level]['results']['random']['inner-val']['metrics'] for x in (summary, found))
        for metric in METRICS:
            assert one[metric]['low'] == pytest.approx(two[metric]['low'])


def test_one_seed_one_patient_and_an_absent_class():
    run = make(1.0, 0, patients=1)
    found = summarise({'only': {'last': {0: run}}}, CLASSES, resamples=20)
    json.dumps(found, allow_nan=False)
    accuracy = found['levels']['frame']['results']['only']['last']['metrics']['accuracy']
    assert accuracy['std'] is None and accuracy['low'] is None and accuracy['mean'] is not None
    assert found['levels']['frame']['results']['only']['last']['metrics']['macro_auroc']['mean'] is None
    assert found['levels']['frame']['results']['only']['last']['classes']['regular']['recall']['mean'] is None
    assert found['levels']['frame']['differences'] == [] and found['levels']['frame']['optimism'] == []
    assert (found['honest_selection'], found['resamples_without_a_class']) == ('last', 0)
    assert 'SD' not in markdown_table(found).split('### ')[1] and ' to ' not in markdown_table(found)


def test_resamples_without_a_class_are_counted():
    run = make(1.0, 0, patients=3)  # a patient a class
    share = summarise({'only': {'last': {0: run}}}, CLASSES, resamples=4000)['resamples_without_a_class']
    assert share == pytest.approx(1 - 6 / 27, abs=0.03)


def test_unknown_patients_are_counted():
    run = make(1.0, 0)
    groups = np.array([f'video:{v}' if p == 'p3' else p for v, p in zip(run.videos, run.groups, strict=True)])
    found = summarise({'only': {'last': {0: replace(run, groups=groups)}}}, CLASSES, resamples=10)
    assert (found['num_patients'], found['num_unknown_patients']) == (11, 2)
    assert 'of 11 patients (2 ' in markdown_table(found)


def test_the_markdown_table(summary):
    text = markdown_table(summary)
    blocks = text.split('### ')
    assert [block.split('\n')[0] for block in blocks[1:]] == [
        'Video level (20 videos)',
        'Frame level (80 frames)',
        'Classes, video level, chosen by inner-val',
        'Classes, frame level, chosen by inner-val',
        'Differences in percentage points, video level',
        'Differences in percentage points, frame level',
    ]
    for block in blocks[1:]:
        rows = [line for line in block.split('\n') if line.startswith('|')]
        assert len({row.replace('\\|', '').count('|') for row in rows}) == 1
    accuracy = summary['levels']['video']['results']['us|cl']['inner-val']['metrics']['accuracy']
    cell = '{mean:.1f} % ({low:.1f} to {high:.1f}), SD {std:.1f}'.format(
        **{name: 100 * accuracy[name] for name in ('mean', 'low', 'high', 'std')}
    )
    assert f'| us\\|cl | inner-val | {cell} |' in text
    assert '| us\\|cl | best-on-test (optimistic) |' in text
    assert '| Chance: always “covid” |  | 40.0 % | 33.3 % | 19.0 % | 50.0 % |' in text


def test_runs_that_cannot_be_compared(runs):
    good = make(1.0, 0)
    with pytest.raises(ValueError, match='seed'):
        summarise({'a': {'last': {}}}, CLASSES)
    with pytest.raises(ValueError, match=r'^b, last, seed 7 .* a, last, seed 0'):
        summarise({'a': {'last': {0: good}}, 'b': {'last': {7: make(1.0, 0, patients=9)}}}, CLASSES)
    twice = replace(good, paths=np.where(good.paths == '3.png', '4.png', good.paths))
    with pytest.raises(ValueError, match=r'^a, last, seed 0 '):
        summarise({'a': {'last': {0: twice}}}, CLASSES)
    with pytest.raises(ValueError, match=r'3 classes, .* 2 '):
        summarise({'a': {'last': {0: good}}}, CLASSES[:2])


def test_the_honest_selection():
    assert honest_selection(['best-on-test', 'last']) == 'last'
    assert honest_selection(['best-on-test']) == 'best-on-test'
