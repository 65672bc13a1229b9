"""Does a representation keep the frames of one video together? Similarities, AUROC and retrieval on held-out frames.

Pure NumPy and scikit-learn: what made the features does not matter, nor does their scale.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

MAX_PAIRS = 200_000  # of each kind; the standard error of a mean of similarities is then below 0.0023
_DECIMALS = 9  # similarities closer than this are ties: rounding error of a product must not order them
_CHUNK = 8_192  # rows handled at a time, to bound memory


@dataclass(frozen=True)
class Cohesion:
    """How much closer the frames of one video are than the frames of different videos.

    Similarities are cosines in [-1, 1]. Whatever cannot be measured is NaN: everything ``intra`` when no video has two
    frames, everything ``inter`` when there is only one video, ``gap`` and ``auroc`` in both cases, ``retrieval`` and
    ``chance`` without a query or without a gallery frame.

    Attributes:
        intra: (P,) float64, similarities of pairs of different frames of one video.
        inter: (Q,) float64, similarities of pairs of frames of different videos.
        num_intra_pairs: All such pairs; larger than P when they were subsampled.
        num_inter_pairs: All such pairs; larger than Q when they were subsampled.
        intra_mean: Mean of ``intra``.
        inter_mean: Mean of ``inter``.
        gap: ``intra_mean - inter_mean``.
        auroc: Probability that an intra pair is more similar than an inter pair, ties counting half; 0.5 is chance.
        retrieval: Share of query frames whose nearest gallery frame is of their own video (retrieval@1).
        num_correct: ``retrieval * num_queries``; not an integer where nearest frames are tied.
        num_queries: Number of query frames.
        num_gallery: Number of gallery frames.
        chance: Expected ``retrieval`` if each query's nearest frame were a gallery frame drawn at random.
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
        """Everything but the two arrays, as plain numbers."""
        return {name: value for name, value in vars(self).items() if name not in ('intra', 'inter')}


def measure_cohesion(
    features: np.ndarray, video: np.ndarray, query: np.ndarray, max_pairs: int = MAX_PAIRS, seed: int = 0
) -> Cohesion:
    """Measure the cohesion of video clusters in a feature space.

    Features are L2-normalised first; a zero vector stays zero, so its similarity to everything is 0. Similarities are
    rounded to nine decimals, which makes exact copies exact ties.

    Args:
        features: (N, C) real numbers.
        video: (N,) integers, frames with the same number are of the same video.
        query: (N,) booleans, true for the held-out frames that are looked up among the others (the gallery).
        max_pairs: With at most this many pairs of a kind all of them are used and the result is exact; with more, that
            many are drawn without replacement.
        seed: Of that draw.

    Returns:
        The measures, see :class:`Cohesion`.

    Raises:
        ValueError: Shapes do not fit together, there is no frame, or features are not finite.
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
    """Scale every row of (N, C) to length 1; a row of zeros stays."""
    # By the largest entry first: the square of a very large or very small number would leave the range of floats.
    peak = np.abs(features).max(axis=1, keepdims=True, initial=0)
    features = features / np.where(peak > 0, peak, 1)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def _pairs(video: np.ndarray, limit: int, seed: int) -> tuple[np.ndarray, int, np.ndarray, int]:
    """(2, P) indices of intra pairs and their number, (2, Q) indices of inter pairs and their number.

    Frames are sorted by video. A frame that comes ``r``-th in its video, which starts at position ``s``, closes ``r``
    intra pairs (with positions s … s+r-1) and ``s`` inter pairs (with positions 0 … s-1): running sums of these
    counts number all pairs, and a number is turned back into a pair without listing the others.
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
    """Number of queries answered with their own video, and the share expected by chance.

    Among equally near gallery frames one is taken at random, in expectation: the credit is the share of them that is of
    the query's video. A query whose video has no gallery frame counts as wrong, and has chance 0.
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
