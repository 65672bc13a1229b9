"""Sentences against intervals computed row by row, without the bootstrap's statistics."""

import re

import numpy as np
import pytest

from uscl.stats.evaluation_answer import answer
from uscl.stats.evaluation_summary import summarise
from uscl.stats.predictions import Predictions

CLASSES = ['a', 'b']


def runs(**hits):
    """Method → how often out of a hundred its predictions are right; 40 patients with two videos of one class each."""
    video = np.arange(80)
    labels, groups = video // 2 % 2, np.array([f'p{k // 2:02d}' for k in video])
    names, found = video.astype(str), {}
    for seed, (method, share) in enumerate(hits.items()):
        right = np.random.default_rng(seed).permutation(80) < round(0.8 * share)
        scores = np.eye(2)[np.where(right, labels, 1 - labels)]
        found[method] = {'fixed': {0: Predictions(scores, labels, names, groups, names)}}
    return found


def reference(first, second, resamples=400):
    """Percentile interval of the difference in balanced accuracy, patients drawn one by one."""
    patients, rng, samples = np.unique(first.groups), np.random.default_rng(1), []
    for _ in range(resamples):
        rows = np.concatenate([np.flatnonzero(first.groups == p) for p in rng.choice(patients, len(patients))])
        shares = [
            np.mean([(run.probabilities.argmax(1) == c)[rows][run.labels[rows] == c].mean() for c in (0, 1)])
            for run in (first, second)
        ]
        samples.append(shares[1] - shares[0])
    return np.quantile(samples, [0.025, 0.975])


@pytest.mark.parametrize(('hits', 'verdict'), [(95, 'better'), (66, 'not told apart'), (30, 'worse')])
@pytest.mark.parametrize('order', [1, -1])
def test_the_sentence_says_what_the_interval_holds(hits, verdict, order):
    found = runs(random=65, uscl=hits)
    low, high = reference(*(found[name]['fixed'][0] for name in ('random', 'uscl')))
    assert {'better': low > 0, 'worse': high < 0, 'not told apart': low < 0 < high}[verdict]
    summary = summarise(dict(list(found.items())[::order]), CLASSES, untrained=['random'])
    first, *advice = summary['answer']
    assert verdict in first and 'uscl' in first and 'random (untrained)' in first and 'over 40 patients' in first
    shown = [float(part.replace('−', '-')) / 100 for part in first.rstrip(').').split(': ')[-1].split(' to ')]
    assert shown == pytest.approx([low, high], abs=0.03)
    (text,) = advice
    if verdict == 'not told apart':
        points = int(re.search(r'With 40 patients, .* about (\d+) points', text)[1])
        assert points == pytest.approx(50 * (shown[1] - shown[0]), abs=0.6)
    else:
        assert 'too narrow' in text


def test_every_trained_method_is_compared_with_the_best_untrained_one():
    found = runs(random=60, uscl=95, random34=80, simclr=20)
    *sentences, _ = answer(summarise(found, CLASSES, resamples=100), ['random', 'random34'])
    assert [sentence.split(' is ')[0] for sentence in sentences] == ['uscl', 'simclr']
    assert all('random34 (untrained)' in sentence for sentence in sentences)


def test_without_an_untrained_network_the_first_is_compared_with():
    sentence, _ = answer(summarise(runs(imagenet=55, uscl=95), CLASSES, resamples=100))
    assert sentence.startswith('uscl is better than imagenet: ')


@pytest.mark.parametrize(('name', 'untrained', 'needed'), [('random', ['random'], 'a checkpoint'), ('m', [], 'random')])
def test_a_single_method_needs_another(name, untrained, needed):
    (sentence,) = answer(summarise(runs(**{name: 60}), CLASSES, resamples=50), untrained)
    assert f'{name} reaches 60.0 %' in sentence and needed in sentence.split('. ')[1]


def test_one_patient_tells_nothing_about_others():
    found = runs(random=60, uscl=95)
    alone = {
        method: {'fixed': {0: Predictions(**(vars(of['fixed'][0]) | {'groups': np.array(['p'] * 80)}))}}
        for method, of in found.items()
    }
    sentence, advice = answer(summarise(alone, CLASSES, resamples=20), ['random'])
    assert 'told apart' not in sentence and 'better' not in sentence and 'interval' not in sentence
    assert 'one patient' in advice and 'more patients' in advice


def test_equal_predictions_are_not_told_apart():
    found = runs(random=60)
    (sentence,) = answer(summarise(found | {'same': found['random']}, CLASSES, resamples=50), ['random'])
    assert 'not told apart' in sentence and '0.0 points' in sentence
