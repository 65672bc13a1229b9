"""COCO's compressed run lengths: the pixels of a mask, without decoding it."""

import re
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

# Digits of a number have five bits each, lowest first: '0' to 'O' for the last, 'P' to 'o' for those before it.
_NUMBER = '([P-o]*[0-O])'
_TEXT = re.compile(f'{_NUMBER}{_NUMBER}?{_NUMBER}?([0-o]*)(?<=[0-O])')
_BATCH = 200  # pycocotools counts masks in eight bits


def count_pixels(counts: Sequence[str]) -> np.ndarray:
    """Count the pixels described by run lengths.

    pycocotools does not compare their sum with the size, and returns uninitialised memory if runs are missing.

    Args:
        counts: N strings as in ``segmentation['counts']``.

    Returns:
        (N, 2) int64: pixels in the mask and in the whole picture; -1 if a string is not valid run lengths.
    """
    matches = [_TEXT.fullmatch(text) for text in counts]
    inside = _areas([text if match else '0' for text, match in zip(counts, matches, strict=True)])
    outside = _areas([_invert(match) if match else '0' for match in matches])
    pixels = np.stack([inside, inside + outside], axis=1)
    pixels[[match is None for match in matches]] = -1
    return pixels


def _areas(counts: list[str]) -> np.ndarray:
    batches = [
        coco_mask.area([{'size': [1, 1], 'counts': text} for text in counts[start : start + _BATCH]])
        for start in range(0, len(counts), _BATCH)
    ]
    return np.concatenate([np.zeros(0, dtype=np.int64), *batches]).astype(np.int64)


def _invert(match: re.Match) -> str:
    """Add an empty first run, which swaps mask and background.

    From the fourth number on, each is the difference from the run before last, so the third number becomes one.
    """
    first, second, third, rest = (part or '' for part in match.groups())
    return '0' + first + second + (third and _encode(_decode(third) - _decode(first))) + rest


def _decode(digits: str) -> int:
    value = 0
    for digit in reversed(digits):
        value = value << 5 | (ord(digit) - 48) & 31
    return value - (1 << 5 * len(digits)) if (ord(digits[-1]) - 48) & 16 else value


def _encode(value: int) -> str:
    digit, value = value & 31, value >> 5
    if value == (-1 if digit & 16 else 0):
        return chr(digit + 48)
    return chr((digit | 32) + 48) + _encode(value)
