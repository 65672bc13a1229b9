"""Sort names the way people number files."""

import re


def natural_key(name: str) -> tuple:
    """Sort key for natural order: frame2 comes before frame10.

    Case and leading zeros only break ties, so different names never compare equal.

    >>> sorted(['frame10.png', 'Frame2.png', 'frame01.png'], key=natural_key)
    ['frame01.png', 'Frame2.png', 'frame10.png']
    """
    # ASCII digits only: str.isdigit() is also true for characters such as '²', which are not numbers here.
    parts = re.split(r'([0-9]+)', name.casefold())  # text at even positions, digits at odd ones
    return tuple(_by_value(part) if i % 2 else part for i, part in enumerate(parts)), name


def _by_value(digits: str) -> tuple[int, str]:
    """Sorts by numeric value; int() refuses strings of thousands of digits, which an index may contain."""
    digits = digits.lstrip('0')
    return len(digits), digits
