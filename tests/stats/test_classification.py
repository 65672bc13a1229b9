import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score, roc_auc_score

from uscl.stats.classification import classification_metrics
from uscl.stats.predictions import Predictions


def predictions(labels, scores):
    names = np.array([f'{k:03d}' for k in range(len(labels))])
    return Predictions(np.asarray(scores, dtype=float), np.asarray(labels, dtype=np.int64), names, names, names)


def sample(seed, n=60, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    scores = np.exp(rng.normal(size=(n, classes)) + np.eye(classes)[labels])
    return labels, scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('classes', [2, 3, 5])
def test_with_all_classes_present_the_means_are_scikit_learns(seed, classes):
    labels, scores = sample(seed, classes=classes)
    found, predicted = classification_metrics(predictions(labels, scores), classes), scores.argmax(axis=1)
    assert found['accuracy'] == accuracy_score(labels, predicted)
    assert found['balanced_accuracy'] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found['macro_f1'] == pytest.approx(f1_score(labels, predicted, average='macro'))
    expected = np.mean([roc_auc_score(labels == k, scores[:, k]) for k in range(classes)])
    assert found['macro_auroc'] == pytest.approx(expected)
    specificity = [recall_score(labels == k, predicted == k, pos_label=False) for k in range(classes)]
    assert found['specificity'] == pytest.approx(specificity)
    if classes > 2:
        assert found['macro_auroc'] == pytest.approx(roc_auc_score(labels, scores, multi_class='ovr'))


def test_a_table_by_hand():
    labels = [0, 0, 0, 1, 1, 2]
    scores = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    found = classification_metrics(predictions(labels, scores), 3)
    assert found['confusion'] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert found['support'] == [3, 2, 1]
    assert found['recall'] == pytest.approx([2 / 3, 1 / 2, 1])
    assert found['specificity'] == pytest.approx([1, 3 / 4, 4 / 5])
    assert found['precision'] == pytest.approx([1, 1 / 2, 1 / 2])
    assert found['f1'] == pytest.approx([4 / 5, 1 / 2, 2 / 3])
    assert found['auroc'] == pytest.approx([7.5 / 9, 5 / 8, 4.5 / 5])
    assert found['accuracy'] == pytest.approx(4 / 6)


def test_a_class_without_labels_is_left_out_of_the_means_even_if_predicted():
    labels, scores = sample(0)
    without = classification_metrics(predictions(labels, scores), 3)
    scores = np.insert(scores, 1, 0, axis=1)
    scores[0] = [0, 1, 0, 0]  # predicts the class that does not occur
    labels = np.where(labels > 0, labels + 1, 0)
    found = classification_metrics(predictions(labels, scores), 4)
    assert all(math.isnan(found[name][1]) for name in ('precision', 'recall', 'f1', 'auroc'))
    assert found['support'][1] == 0
    assert found['specificity'][1] == pytest.approx(59 / 60)  # one false alarm in 60 rows
    for mean, name in (('balanced_accuracy', 'recall'), ('macro_f1', 'f1'), ('macro_auroc', 'auroc')):
        assert found[mean] == pytest.approx(np.mean(np.delete(found[name], 1)))
    assert found['accuracy'] <= without['accuracy']


def test_a_class_that_is_never_predicted_has_precision_zero():
    found = classification_metrics(predictions([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), 2)
    assert (found['precision'][1], found['recall'][1], found['f1'][1], found['auroc'][1]) == (0, 0, 0, 1)
    assert found['macro_f1'] == pytest.approx(0.4)


def test_labels_of_one_class_have_no_auroc():
    found = classification_metrics(predictions([1, 1], [[0.2, 0.8], [0.7, 0.3]]), 2)
    assert math.isnan(found['macro_auroc']) and all(math.isnan(value) for value in found['auroc'])
    assert found['specificity'][0] == 0.5 and math.isnan(found['specificity'][1])
    assert found['balanced_accuracy'] == found['accuracy'] == 0.5


def test_equal_probabilities_predict_the_first_class():
    assert classification_metrics(predictions([0, 1], np.full((2, 2), 0.5)), 2)['confusion'] == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    'labels, scores, classes, message',
    [
        ([], np.zeros((0, 2)), 2, r'prediction'),
        ([0], [[0.5, 0.5]], 3, r'2 classes, .* 3 '),
        ([0, 2], [[0.5, 0.5]] * 2, 2, r'001 has label 2, .*0 to 1'),
        ([0, -1], [[0.5, 0.5]] * 2, 2, r'001 has label -1'),
    ],
)
def test_errors(labels, scores, classes, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(predictions(labels, scores), classes)
