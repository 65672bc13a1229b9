"""Does a representation keep frames of one video together? Similarities, AUROC and retrieval on held-out frames.

Pure NumPy and scikit-learn; the origin and the scale of the features do not matter.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

MAX_PAIRS = 200_000  # per kind; the standard error of a mean of similarities is then below 0.0023
_DECIMALS = 9  # closer similarities are ties, so that rounding errors do not order them
_CHUNK = 8_192  # rows processed at a time, to bound memory


@dataclass(frozen=True)
class Cohesion:
    """How much closer the frames of one video are than the frames of different videos.

    Similarities are cosines in [-1, 1]. Anything that cannot be measured is NaN: all ``intra`` values if no video has
    two frames, all ``inter`` values if there is only one video, ``gap`` and ``auroc`` in both cases, ``retrieval`` and
    ``chance`` without query or gallery frames.

    Attributes:
        intra: (P,) float64, similarities of pairs of different frames of the same video.
        inter: (Q,) float64, similarities of pairs of frames of different videos.
        num_intra_pairs: Number of all such pairs; larger than P if they were subsampled.
        num_inter_pairs: Number of all such pairs; larger than Q if they were subsampled.
        intra_mean: Mean of ``intra``.
        inter_mean: Mean of ``inter``.
        gap: ``intra_mean - inter_mean``.
        auroc: Probability that an intra pair is more similar than an inter pair, ties counting half; 0.5 is chance.
        retrieval: Fraction of query frames whose nearest gallery frame is from their own video (retrieval@1).
        num_correct: ``retrieval * num_queries``; not an integer if nearest frames are tied.
        num_queries: Number of query frames.
        num_gallery: Number of gallery frames.
        chance: Expected ``retrieval`` if each query's nearest frame were drawn at random from the gallery.
    """

    intra: np.ndarray
    inter: np.ndarray
    num_intra_pairs: int
    num_inter_pairs: int
    intra_mean: float
    inter_mean: float
    gap: float
    auroc: float
    retrieval: float
    num_correct: float
    num_queries: int
    num_gallery: int
    chance: float

    def scalars(self) -> dict[str, float]:
        """All fields except the two arrays, as plain numbers."""
        return {name: value for name, value in vars(self).items() if name not in ('intra', 'inter')}


def measure_cohesion(
    features: np.ndarray, video: np.ndarray, query: np.ndarray, max_pairs: int = MAX_PAIRS, seed: int = 0
) -> Cohesion:
    """Measure the cohesion of video clusters in a feature space.

    Features are L2-normalised first. A zero vector stays zero, so its similarity to everything is 0. Similarities are
    rounded to nine decimals, so exact copies are exact ties.

    Args:
        features: (N, C) real numbers.
        video: (N,) integers; frames with the same number are from the same video.
        query: (N,) booleans, true for held-out frames, which are looked up among the others (the gallery).
        max_pairs: Up to this many pairs of a kind, all are used and the result is exact; beyond, this many are sampled
            without replacement.
        seed: Seed of the sampling.

    Returns:
        The measures, see :class:`Cohesion`.

    Raises:
        ValueError: Shapes do not match, there are no frames, or features are not finite.
    """
    features, video, query = np.asarray(features, dtype=np.float64), np.asarray(video), np.asarray(query, dtype=bool)
    if features.ndim != 2 or not len(features):
        raise ValueError(f'features should be (N, C) with N >= 1, got {features.shape}.')
    if video.shape != features.shape[:1] or query.shape != features.shape[:1]:
        raise ValueError(f'video and query should be ({len(features)},), got {video.shape} and {query.shape}.')
    broken = int((~np.isfinite(features)).any(axis=1).sum())
    if broken:
        raise ValueError(
            f'{broken} of {len(features)} features are not finite: check the weights and the input frames.'
        )

    features = normalise(features)
    intra_pairs, num_intra, inter_pairs, num_inter = _pairs(video, max_pairs, seed)
    intra, inter = _similarities(features, *intra_pairs), _similarities(features, *inter_pairs)
    intra_mean = float(intra.mean()) if len(intra) else float('nan')
    inter_mean = float(inter.mean()) if len(inter) else float('nan')
    auroc = float('nan')
    if len(intra) and len(inter):
        same_video = np.repeat([True, False], [len(intra), len(inter)])
        auroc = float(roc_auc_score(same_video, np.concatenate([intra, inter])))
    correct, chance = _retrieve(features, video, query)
    num_queries = int(query.sum())
    return Cohesion(
        intra=intra,
        inter=inter,
        num_intra_pairs=num_intra,
        num_inter_pairs=num_inter,
        intra_mean=intra_mean,
        inter_mean=inter_mean,
        gap=intra_mean - inter_mean,
        auroc=auroc,
        retrieval=correct / num_queries if 0 < num_queries < len(query) else float('nan'),
        num_correct=correct,
        num_queries=num_queries,
        num_gallery=len(query) - num_queries,
        chance=chance,
    )


def normalise(features: np.ndarray) -> np.ndarray:
    """Scale every row of (N, C) to unit length; zero rows stay zero."""
    # Divide by the largest entry first: the square of a very large or very small number would overflow or underflow.
    peak = np.abs(features).max(axis=1, keepdims=True, initial=0)
    features = features / np.where(peak > 0, peak, 1)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def _pairs(video: np.ndarray, limit: int, seed: int) -> tuple[np.ndarray, int, np.ndarray, int]:
    """(2, P) indices of intra pairs and their total number, (2, Q) indices of inter pairs and their total number.

    Frames are sorted by video. A frame that is the ``r``-th of its video, which starts at position ``s``, closes ``r``
    intra pairs (with positions s … s+r-1) and ``s`` inter pairs (with positions 0 … s-1). Running sums of these counts
    number all pairs, and a number can be turned back into a pair without listing the others.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(video, kind='stable')
    in_order = video[order]
    start = np.searchsorted(in_order, in_order, side='left')
    rank = np.arange(len(video)) - start
    kinds = []
    for count, offset in ((rank, start), (start, np.zeros_like(start))):
        ends = np.cumsum(count)
        total = int(ends[-1])
        number = np.arange(total) if total <= limit else np.sort(rng.choice(total, limit, replace=False))
        second = np.searchsorted(ends, number, side='right')
        first = number - (ends - count)[second] + offset[second]
        kinds.append((order[np.stack([first, second])], total))
    return kinds[0][0], kinds[0][1], kinds[1][0], kinds[1][1]


def _similarities(features: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    parts = [
        np.einsum('pc,pc->p', features[first[at : at + _CHUNK]], features[second[at : at + _CHUNK]])
        for at in range(0, len(first), _CHUNK)
    ]
    return _as_cosine(np.concatenate(parts)) if parts else np.empty(0)


def _as_cosine(products: np.ndarray) -> np.ndarray:
    return np.clip(products.round(_DECIMALS), -1, 1)


def _retrieve(features: np.ndarray, video: np.ndarray, query: np.ndarray) -> tuple[float, float]:
    """Number of queries matched to their own video, and the fraction expected by chance.

    Ties between nearest gallery frames are resolved in expectation: the credit is the fraction of tied frames from the
    query's video. A query whose video has no gallery frame counts as wrong and has chance 0.
    """
    queries, gallery = features[query], features[~query]
    asked, answers = video[query], video[~query]
    if not len(queries) or not len(gallery):
        return 0.0, float('nan')
    correct, chance = 0.0, 0.0
    step = max(1, _CHUNK * _CHUNK // (4 * len(gallery)))  # 16.8 million similarities at a time, 134 MB
    for at in range(0, len(queries), step):
        similarity = _as_cosine(queries[at : at + step] @ gallery.T)
        nearest = similarity == similarity.max(axis=1, keepdims=True)
        own = asked[at : at + step, None] == answers
        correct += float(((nearest & own).sum(axis=1) / nearest.sum(axis=1)).sum())
        chance += float(own.mean(axis=1).sum())
    return correct, chance / len(queries)
