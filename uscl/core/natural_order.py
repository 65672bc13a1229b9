"""Sort names the way people number files."""

import re


def natural_key(name: str) -> tuple:
    """Sort key that counts the way people number files: frame2 comes before frame10.

    Case and leading zeros decide only between names that are otherwise equal, so different names never tie.

    >>> sorted(['frame10.png', 'Frame2.png', 'frame01.png'], key=natural_key)
    ['frame01.png', 'Frame2.png', 'frame10.png']
    """
    # ASCII digits only: str.isdigit() also holds for characters such as '²', which are no part of a number here.
    parts = re.split(r'([0-9]+)', name.casefold())  # text at even places, digits at odd ones
    return tuple(_by_value(part) if i % 2 else part for i, part in enumerate(parts)), name


def _by_value(digits: str) -> tuple[int, str]:
    """Sorts as the number does; int() refuses thousands of digits, which an index may have."""
    digits = digits.lstrip('0')
    return len(digits), digits
