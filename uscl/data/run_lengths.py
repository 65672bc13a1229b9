"""COCO's compressed run lengths: what a mask covers, without decoding it."""

import re
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

# A number's digits have five bits each, the lowest first: '0' to 'O' for the last, 'P' to 'o' for those before it.
_NUMBER = '([P-o]*[0-O])'
_TEXT = re.compile(f'{_NUMBER}{_NUMBER}?{_NUMBER}?([0-o]*)(?<=[0-O])')
_BATCH = 200  # pycocotools counts the masks in eight bits


def count_pixels(counts: Sequence[str]) -> np.ndarray:
    """Pixels that run lengths describe.

    pycocotools does not compare their sum with the size, and leaves whatever the memory holds where runs are missing.

    Args:
        counts: N texts as in ``segmentation['counts']``.

    Returns:
        (N, 2) int64: pixels inside of the mask, and of the whole picture; -1 where a text is none of run lengths.
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
    """The runs behind an empty one, so that the mask is what was background.

    From the fourth on, a number is a run's difference from the one before last, so the third becomes one.
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
