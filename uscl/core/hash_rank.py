"""A random order that is the same on every machine."""

import hashlib


def hash_rank(key: str, seed: int) -> int:
    """A random sort key that is the same in every process and on every machine.

    Args:
        key: The name to be ordered, such as a video id.
        seed: A different seed gives a different order.

    Returns:
        A uniform 64-bit integer.
    """
    return int.from_bytes(hashlib.blake2b(f'{seed}/{key}'.encode(), digest_size=8).digest(), 'big')
