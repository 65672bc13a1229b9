"""Classification metrics by scikit-learn, with one rule for classes that do not occur."""

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

from .predictions import Predictions

METRICS = ('accuracy', 'balanced_accuracy', 'macro_f1', 'macro_auroc')
CLASS_METRICS = ('recall', 'specificity', 'precision', 'f1', 'auroc')


def classification_metrics(predictions: Predictions, num_classes: int) -> dict[str, float | list]:
    """Measure how well probabilities predict labels. The predicted class is the first one with the highest probability.

    A class without labels cannot be measured: its precision, recall, F1 and AUROC are NaN, and means over classes skip
    it. A class that has labels but is never predicted has precision 0 and F1 0. Recall is also called sensitivity.
    Specificity is the fraction of the other classes' labels that are not predicted as this class; like AUROC, which is
    one-vs-rest, it is NaN if all labels are of this class.

    Args:
        predictions: Predictions for N >= 1 frames or videos.
        num_classes: Number of classes C.

    Returns:
        ``accuracy``, ``balanced_accuracy`` (mean recall), ``macro_f1`` and ``macro_auroc`` in [0, 1] or NaN;
        :data:`CLASS_METRICS` and ``support`` (number of labels), lists of C;
        ``confusion``, C lists of C counts, true classes in rows.

    Raises:
        ValueError: There are no predictions, or labels or probabilities do not match C classes.
    """
    check_classes(predictions, num_classes)
    labels, scores = predictions.labels, predictions.probabilities
    predicted = scores.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=range(num_classes), zero_division=0
    )
    absent = support == 0
    auroc = [
        roc_auc_score(labels == k, scores[:, k]) if 0 < support[k] < len(labels) else np.nan for k in range(num_classes)
    ]
    per_class = {'precision': precision, 'recall': recall, 'f1': f1, 'auroc': np.array(auroc)}
    per_class = {name: np.where(absent, np.nan, values) for name, values in per_class.items()}
    confusion = confusion_matrix(labels, predicted, labels=range(num_classes))
    others = len(labels) - support
    wrongly = confusion.sum(axis=0) - confusion.diagonal()
    per_class['specificity'] = np.where(others > 0, 1 - wrongly / np.maximum(others, 1), np.nan)
    return {
        'accuracy': float((predicted == labels).mean()),
        'balanced_accuracy': float(mean_of_defined(per_class['recall'])),
        'macro_f1': float(mean_of_defined(per_class['f1'])),
        'macro_auroc': float(mean_of_defined(per_class['auroc'])),
        **{name: values.tolist() for name, values in per_class.items()},
        'support': support.tolist(),
        'confusion': confusion.tolist(),
    }


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, ignoring NaN; NaN if all values are NaN.

    >>> mean_of_defined(np.array([[1.0, np.nan, 2.0], [np.nan, np.nan, np.nan]])).tolist()
    [1.5, nan]
    """
    defined = np.isfinite(values)
    number = defined.sum(axis=-1)
    total = np.where(defined, values, 0).sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def check_classes(predictions: Predictions, num_classes: int) -> None:
    """Raise a ValueError unless there are predictions, and labels and probabilities match C classes."""
    if not len(predictions):
        raise ValueError('There are no predictions to measure: the data have no labelled video.')
    if predictions.probabilities.shape[1] != num_classes:
        raise ValueError(
            f'The predictions have {predictions.probabilities.shape[1]} classes, but {num_classes} are named: '
            'use the classes that the classifier was trained with.'
        )
    wrong = (predictions.labels < 0) | (predictions.labels >= num_classes)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f'{predictions.paths[first]} has label {predictions.labels[first]}, expected 0 to {num_classes - 1}: '
            'leave unlabelled videos out.'
        )
