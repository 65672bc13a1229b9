"""An order at random that is the same everywhere."""

import hashlib


def hash_rank(key: str, seed: int) -> int:
    """A number that orders keys at random, the same in every process and on every machine.

    Args:
        key: What is ordered, such as a video id.
        seed: Another seed gives another order.

    Returns:
        A uniform 64-bit integer.
    """
    return int.from_bytes(hashlib.blake2b(f'{seed}/{key}'.encode(), digest_size=8).digest(), 'big')
