"""Does the nearest clip of another patient have the same class? A score without training."""

import numpy as np

from .cohesion import normalise


def neighbour_vote(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, count: int = 5) -> float:
    """Balanced accuracy of a nearest-neighbour vote among clips of other patients.

    Every clip is predicted from the ``count`` most similar clips (cosine) of other groups, which vote with their
    similarity, mapped to [0, 1]; a tie goes to the lower label. Clips of classes with a single group are neither
    asked nor vote, as nobody else could vote for them.

    Args:
        features: (N, C), finite; zero vectors have similarity 0 to everything.
        labels: (N,) integers; negative if unlabelled, and then left out.
        groups: (N,) integers, the patient of each clip.
        count: Number of neighbours, at least 1; fewer if there are fewer.

    Returns:
        Mean over classes of the fraction of clips predicted correctly, in [0, 1]; NaN with fewer than two classes left.
    """
    pairs = {(label, group) for label, group in zip(labels.tolist(), groups.tolist(), strict=True) if label >= 0}
    patients = np.array([label for label, _ in pairs], dtype=np.int64)
    classes = [label for label in np.unique(patients) if (patients == label).sum() > 1]
    if len(classes) < 2:
        return float('nan')
    kept = np.isin(labels, classes)
    features, labels, groups = normalise(np.asarray(features[kept], dtype=np.float64)), labels[kept], groups[kept]
    similarity = np.where(groups[:, None] == groups, -np.inf, features @ features.T)
    nearest = np.argsort(-similarity, axis=1, kind='stable')[:, :count]
    weights = (np.take_along_axis(similarity, nearest, axis=1).clip(-1, 1) + 1) / 2
    weights[np.take_along_axis(groups[:, None] == groups, nearest, axis=1)] = 0  # fewer others than count
    votes = np.stack([(weights * (labels[nearest] == label)).sum(axis=1) for label in classes], axis=1)
    correct = np.array(classes)[votes.argmax(axis=1)] == labels
    return float(np.mean([correct[labels == label].mean() for label in classes]))
