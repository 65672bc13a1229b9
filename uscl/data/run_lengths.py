"""COCO's compressed run lengths: the pixels of a mask, without decoding it to pixels."""

from collections.abc import Sequence

import numpy as np

_INVALID = (-1, -1)


def count_pixels(counts: Sequence[str]) -> np.ndarray:
    """Count the pixels described by run lengths.

    pycocotools does not compare their sum with the size, and returns uninitialised memory if runs are missing.

    Args:
        counts: N strings as in ``segmentation['counts']``.

    Returns:
        (N, 2) int64: pixels in the mask and in the whole picture; -1 if a string is not valid run lengths.
    """
    return np.array([_count(text) for text in counts], np.int64).reshape(-1, 2)


def _count(text: str) -> tuple[int, int]:
    # A character is 48 + a digit of five bits, lowest first, + 32 if the number goes on. The last digit has a sign bit.
    digits = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - 48
    if not len(digits) or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        return _INVALID
    ends = np.flatnonzero(digits < 32)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    place = np.arange(len(digits)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((digits & 31) << 5 * place, starts) - ((digits[ends] & 16) << (5 * lengths - 4))
    # From the fourth on, each number is the difference from the run before last.
    runs[1::2], runs[2::2] = runs[1::2].cumsum(), runs[2::2].cumsum()
    return _INVALID if lengths.max() > 12 or runs.min() < 0 else (runs[1::2].sum(), runs.sum())
