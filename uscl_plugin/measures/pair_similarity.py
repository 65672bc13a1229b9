"""How similar are the pairs of a contrastive batch, has the representation collapsed, and which negatives are false?

Pure functions on tensors and lists. Cosines are computed in float32 at least; those of a zero vector are 0.
"""

from collections import Counter
from collections.abc import Hashable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def paired_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Mean cosine similarity of the positive pairs.

    Args:
        first: (N, D), N ≥ 1.
        second: (N, D); row i is the partner of row i of ``first``.

    Returns:
        Scalar in [-1, 1].

    Raises:
        ValueError: The shapes differ, or there are no pairs.
    """
    first, second = _paired(first, second, at_least=1)
    return (first * second).sum(dim=1).mean()


def batch_negative_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Mean cosine similarity of the negative pairs in NT-Xent: each of 2N views with all but itself and its partner.

    The sum over these 2N · (2N - 2) ordered pairs is the sum over all pairs, ``‖Σ z‖²`` of the unit vectors z, minus
    those of views with themselves and with their partners, so no matrix of all similarities is needed.

    Args:
        first: (N, D), N ≥ 2.
        second: (N, D); row i is the partner of row i of ``first``.

    Returns:
        Scalar in [-1, 1].

    Raises:
        ValueError: The shapes differ, or there are fewer than two pairs and therefore no negatives.
    """
    first, second = _paired(first, second, at_least=2)
    views = torch.cat([first, second])  # (2N, D)
    total = views.sum(dim=0).square().sum() - views.square().sum() - 2 * (first * second).sum()
    return total / (len(views) * (len(views) - 2))


def mean_direction(vectors: Tensor) -> Tensor:
    """Mean of the vectors after scaling each to length 1.

    Args:
        vectors: (N, D), N ≥ 1.

    Returns:
        (D,), at least float32. The dot product of two such means is the mean cosine of all pairs between both sets.

    Raises:
        ValueError: The shape is wrong, or there are no vectors.
    """
    if vectors.ndim != 2 or not len(vectors):
        raise ValueError(f'vectors should be (N, D) with N >= 1, got {tuple(vectors.shape)}.')
    return _unit(vectors).mean(dim=0)


def spread(features: Tensor) -> Tensor:
    """Standard deviation over the batch of L2-normalised features, averaged over channels, times √C.

    The collapse measure of SimSiam (Chen and He, CVPR 2021, Sec. 4.1): 0 if all features point in one direction, about
    1 if they are isotropic. Features after a ReLU have no negative channels and stay below 1.

    Args:
        features: (N, C), N ≥ 2.

    Returns:
        Scalar ≥ 0, at least float32.

    Raises:
        ValueError: The shape is wrong, or there are fewer than two features.
    """
    # Imported here, because lightly.utils.debug starts matplotlib's pyplot, which training does not need otherwise.
    from lightly.utils.debug import std_of_l2_normalized

    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f'features should be (N, C) with N >= 2, got {tuple(features.shape)}.')
    return std_of_l2_normalized(_wide(features)) * features.shape[1] ** 0.5


def batch_conflict(videos: Sequence[Hashable]) -> float:
    """Fraction of the negative pairs in NT-Xent whose two views come from the same video.

    Two items of one video give four such pairs of views, as do two items of different videos, so items are counted.

    Args:
        videos: The videos of the N ≥ 2 items of a batch.

    Returns:
        Fraction in [0, 1]; exactly 0 if every item has its own video.

    Raises:
        ValueError: There are fewer than two items.
    """
    if len(videos) < 2:
        raise ValueError(f'a negative pair needs two items, got {len(videos)}.')
    same = sum(count * (count - 1) for count in Counter(videos).values())
    return same / (len(videos) * (len(videos) - 1))


def queue_conflict(videos: Sequence[Hashable], queue_videos: Sequence[Hashable | None]) -> float:
    """Fraction of MoCo's negative pairs, each query with each key in the queue, that come from the same video.

    Args:
        videos: The videos of the N ≥ 1 queries; none of them is None.
        queue_videos: The videos of the K ≥ 1 keys; None for a key without a video.

    Returns:
        Fraction in [0, 1].

    Raises:
        ValueError: There are no queries or no keys.
    """
    if not videos or not queue_videos:
        raise ValueError(f'a negative pair needs a query and a key, got {len(videos)} and {len(queue_videos)}.')
    counts = Counter(queue_videos)
    return sum(counts[video] for video in videos) / (len(videos) * len(queue_videos))


def _paired(first: Tensor, second: Tensor, at_least: int) -> tuple[Tensor, Tensor]:
    """Both tensors, with rows scaled to length 1."""
    if first.shape != second.shape or first.ndim != 2 or len(first) < at_least:
        raise ValueError(
            f'expected two tensors of one shape (N, D) with N >= {at_least}, got {tuple(first.shape)} and '
            f'{tuple(second.shape)}.'
        )
    return _unit(first), _unit(second)


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(_wide(vectors), dim=1)


def _wide(vectors: Tensor) -> Tensor:
    return vectors.to(torch.promote_types(vectors.dtype, torch.float32))
