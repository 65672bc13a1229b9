"""Find clips that are copies of each other: exact copies by digest, altered ones by frame fingerprints.

This takes two stages: coarse fingerprints compare all pairs by blockwise matrix products; fine ones, with a grid of
crops, then recheck the few similar pairs.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise, product

import numpy as np

from uscl.data.fingerprints import COARSE, FINE, NO_CROP, Crop, fingerprints, mirror

from .clip_facts import Clip

QUERIES = 8  # frames of a clip that are searched for in the other
COARSE_THRESHOLD = 0.85
THRESHOLD, CERTAIN = 0.88, 0.92  # docs/check_dataset.md has the measurements behind them
_MARGIN = 0.04
COARSE_CROPS: tuple[tuple[Crop, Crop], ...] = (  # of the query clip, and of the clip it is searched in
    (NO_CROP, NO_CROP),
    (NO_CROP, (_MARGIN,) * 4),
    ((_MARGIN,) * 4, NO_CROP),
)
FINE_CROPS: tuple[Crop, ...] = (
    *((a, b, c, d) for a, b, c, d in product((0.0, _MARGIN), repeat=4)),
    (0.02,) * 4,
    (0.06,) * 4,
)
_KEPT = 128  # clips whose cropped fingerprints are kept, 0.6 MB each
_BLOCK = 32  # query clips processed at once; bounds memory


@dataclass(frozen=True)
class Duplicate:
    """Two clips that are, or may be, copies of each other.

    Attributes:
        first: Index of the first clip in the list.
        second: Index of the second clip; larger than ``first``.
        kind: ``'same source'`` (equal files), ``'equal frames'``, ``'near-equal'`` or ``'mirrored'``.
        similarity: Similarity of the fingerprints, see :func:`clip_similarity`; 1 for exact copies.
    """

    first: int
    second: int
    kind: str
    similarity: float

    @property
    def is_certain(self) -> bool:
        """False if only people can tell a copy from another recording on the same scanner."""
        return self.similarity >= CERTAIN


def find_duplicates(clips: Sequence[Clip], threshold: float = THRESHOLD) -> list[Duplicate]:
    """Find all pairs of copies and suspects, most certain first.

    Args:
        clips: Clips of one or more datasets.
        threshold: Smallest similarity of a pair that is returned.

    Returns:
        Each pair once, with the first kind that applies.
    """
    found: dict[tuple[int, int], Duplicate] = {}
    for kind, key in (('same source', _source_key), ('equal frames', _frames_key)):
        groups = defaultdict(list)
        for position, clip in enumerate(clips):
            if (value := key(clip)) is not None:
                groups[value].append(position)
        for members in groups.values():
            # A chain instead of all pairs: a hundred copies give a hundred findings, not five thousand.
            pairs = combinations(members, 2) if len(members) <= 4 else pairwise(members)
            for pair in pairs:
                found.setdefault(pair, Duplicate(*pair, kind, 1.0))
    known = _components(len(clips), found)
    thumbnails = [clip.thumbnails for clip in clips]
    plain, mirrored = coarse_similarities(thumbnails, thumbnails)
    prints = lru_cache(_KEPT)(lambda position: cropped_fingerprints(thumbnails[position]))
    for first, second in np.argwhere(np.triu(np.maximum(plain, mirrored), 1) >= COARSE_THRESHOLD).tolist():
        if known[first] == known[second]:
            continue
        similarity, is_mirrored = closest(prints(first), prints(second), plain[first, second], mirrored[first, second])
        if similarity >= threshold:
            kind = 'mirrored' if is_mirrored else 'near-equal'
            found[first, second] = Duplicate(first, second, kind, similarity)
    order = ('same source', 'equal frames', 'near-equal', 'mirrored')
    return sorted(found.values(), key=lambda pair: (order.index(pair.kind), -pair.similarity, pair.first, pair.second))


def query_positions(count: int) -> np.ndarray:
    """Which of ``count`` thumbnails serve as queries: (QUERIES,) int, evenly spaced, repeated if there are fewer."""
    return np.linspace(0, count - 1, QUERIES).round().astype(int)


def coarse_similarities(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Similarity of all pairs of our clips with theirs on coarse fingerprints.

    Args:
        ours: M clips, thumbnails (n, SIDE, SIDE) of each.
        theirs: N clips; if this is the same list, everything is computed once.

    Returns:
        Similarities of the clips as they are, and with one of each pair mirrored: each (M, N) float32. The similarity
        of a clip to another is the median over its queries of the best match among the other's frames; a pair gets the
        larger of its two.
    """
    forth = _directed(ours, theirs)
    back = forth if theirs is ours else _directed(theirs, ours)
    return np.maximum(forth[0], back[0].T), np.maximum(forth[1], back[1].T)


def _directed(asked: Sequence[np.ndarray], searched: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Similarity of each clip to each of those that it is searched in, as it is and mirrored."""
    starts = np.cumsum([0, *map(len, searched)])[:-1]
    queries = np.concatenate([clip[query_positions(len(clip))] for clip in asked])
    targets = np.concatenate(list(searched))
    plain, turned = (np.full((len(asked), len(searched)), -1, np.float32) for _ in range(2))
    for query_crop, target_crop in COARSE_CROPS:
        wanted = fingerprints(queries, COARSE, query_crop)
        found = fingerprints(targets, COARSE, target_crop).T.copy()
        for begin in range(0, len(asked), _BLOCK):
            block = slice(begin, min(begin + _BLOCK, len(asked)))
            chosen = wanted[block.start * QUERIES : block.stop * QUERIES]
            for result, prints in ((plain, chosen), (turned, mirror(chosen))):
                best = np.maximum.reduceat(prints @ found, starts, axis=1)
                median = np.median(best.reshape(-1, QUERIES, len(searched)), axis=1)
                result[block] = np.maximum(result[block], median)
    return plain, turned


def cropped_fingerprints(thumbnails: np.ndarray, num: int = FINE) -> np.ndarray:
    """Fine fingerprints of a clip's thumbnails under each of :data:`FINE_CROPS`: (crops, n, num² - 1) float32."""
    return np.stack([fingerprints(thumbnails, num, crop) for crop in FINE_CROPS])


def closest(first: np.ndarray, second: np.ndarray, plain: float, mirrored: float) -> tuple[float, bool]:
    """Similarity of two clips, and whether one of them is mirrored.

    Args:
        first: :func:`cropped_fingerprints` of a clip.
        second: The same for another clip.
        plain: Their similarity on coarse fingerprints; below :data:`COARSE_THRESHOLD` they are not compared further.
        mirrored: The same with one of them mirrored.
    """
    same, turned = (
        clip_similarity(first, second, turn) if coarse >= COARSE_THRESHOLD else 0.0
        for turn, coarse in ((False, plain), (True, mirrored))
    )
    return max(same, turned), turned > same


def clip_similarity(first: np.ndarray, second: np.ndarray, mirrored: bool = False) -> float:
    """Similarity of two clips: the maximum over which one is the query, and over crops of either.

    Args:
        first: :func:`cropped_fingerprints` of a clip.
        second: The same for another clip.
        mirrored: Whether to mirror one of them.
    """
    best = -1.0
    for one, other in ((first, second), (second, first)):
        asked = one[:, query_positions(one.shape[1])]
        asked = mirror(asked.reshape(-1, asked.shape[2])).reshape(asked.shape) if mirrored else asked
        for scores in (asked[0] @ other.swapaxes(1, 2), asked @ other[0].T):  # (crops, QUERIES, n)
            best = max(best, float(np.median(scores.max(axis=2), axis=1).max()))
    return best


def matching_frames(first: Clip, second: Clip, mirrored: bool = False, count: int = 2) -> list[tuple[int, int]]:
    """Frames of two copies to show side by side: at most ``count`` pairs in the time order of the shorter clip.

    Returns:
        Frame indices in ``first`` and in ``second``, from 0.
    """
    swapped = len(first.thumbnails) > len(second.thumbnails)
    one, other = (second, first) if swapped else (first, second)
    chosen = np.unique((np.arange(0.5, count) * len(one.thumbnails) / count).astype(int))
    queries = fingerprints(one.thumbnails[chosen])
    scores = (mirror(queries) if mirrored else queries) @ fingerprints(other.thumbnails).T
    pairs = zip(one.positions[chosen].tolist(), other.positions[scores.argmax(axis=1)].tolist(), strict=True)
    return [(b, a) if swapped else (a, b) for a, b in pairs]


def _source_key(clip: Clip) -> object:
    return clip.source_digest


def _frames_key(clip: Clip) -> object:
    return tuple(clip.digests) if any(clip.contrast > 0) else None  # blank clips are reported separately


def _components(count: int, pairs: dict[tuple[int, int], Duplicate]) -> list[int]:
    """For each clip, the number of its group of equal clips."""
    group = list(range(count))
    for first, second in sorted(pairs):
        old, new = group[second], group[first]
        group = [new if value == old else value for value in group] if old != new else group
    return group
