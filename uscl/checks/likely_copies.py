"""Which clips may be copies of clips of which there are signatures: a first look at all pairs, in matrix products."""

from collections.abc import Iterator, Sequence

import numpy as np

from uscl.data.fingerprints import COARSE, crop_fingerprints, fingerprints, mirror
from uscl.data.signatures import FRAMES, signature_levels

from .duplicates import COARSE_CROPS, COARSE_THRESHOLD, QUERIES, query_positions

_LEAST = COARSE_THRESHOLD - 1e-4  # these products are rounded in another order
_CLIPS, _SIGNATURES = 4, 4096  # compared at once: their products stay in the processor's cache


def likely_copies(clips: Sequence[np.ndarray], signatures: Sequence[str]) -> Iterator[tuple[int, list[int]]]:
    """Pairs whose similarity may reach :data:`~.duplicates.COARSE_THRESHOLD`; all others stay below it.

    A median over queries needs half of them to reach the threshold. Mirroring changes the sign of every other frequency
    alone, so that one product decides for a clip as it is and mirrored.

    Args:
        clips: Thumbnails of each, (n, SIDE, SIDE) uint8.
        signatures: Of other clips, see :func:`~uscl.data.signatures.sign_clip`.

    Yields:
        Index of a clip, and indices of signatures, ascending; a clip may come several times, with other signatures.

    Raises:
        ValueError: A signature is damaged.
    """
    ours = [[_by_parity(fingerprints(clip, COARSE, crop)) for crop, _ in COARSE_CROPS] for clip in clips]
    for begin in range(0, len(signatures), _SIGNATURES):
        levels = [signature_levels(each) for each in signatures[begin : begin + _SIGNATURES]]
        known = np.array([k for k, each in enumerate(levels) if len(each)], int)
        if not len(known):
            continue
        # With fewer frames, some come twice: the maximum and the median of the queries stay the same.
        slots = np.concatenate([levels[k][query_positions(len(levels[k]))[:: QUERIES // FRAMES]] for k in known])
        theirs = slots.reshape(len(known), FRAMES, -1).swapaxes(0, 1).reshape(len(slots), -1)
        crops = {crop: _by_parity(crop_fingerprints(theirs, COARSE, crop)) for _, crop in COARSE_CROPS}
        for first in range(0, len(clips), _CLIPS):
            block = range(first, min(first + _CLIPS, len(clips)))
            ends = np.cumsum([len(clips[number]) for number in block])
            likely = np.zeros((len(block), len(known)), bool)
            for which, (_, crop) in enumerate(COARSE_CROPS):
                even, odd = (np.concatenate([ours[number][which][k] for number in block]) for k in (0, 1))
                scores = odd @ crops[crop][1].T
                np.abs(scores, out=scores)
                scores += even @ crops[crop][0].T
                close = (scores >= _LEAST).reshape(len(scores), FRAMES, -1)
                for row, part in zip(likely, np.split(close, ends[:-1]), strict=True):
                    asked = np.logical_or.reduce(part, axis=1)[query_positions(len(part))].sum(axis=0) >= QUERIES // 2
                    row |= asked | (np.logical_or.reduce(part, axis=0).sum(axis=0) >= FRAMES // 2)
            for number, row in zip(block, likely, strict=True):
                if row.any():
                    yield number, (begin + known[row]).tolist()


def _by_parity(prints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The columns that stay when a frame is mirrored, and those that change their sign."""
    stay = mirror(np.ones((1, prints.shape[1]), np.float32))[0] > 0
    return prints[:, stay], prints[:, ~stay]
