"""The files of a frame store, memory-mapped."""

import mmap
import os
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np

from uscl.core.relative_path import leads_out

STORE = 'store'  # subfolder of a data folder

Place = tuple[str, int, tuple[int, ...]]  # shard, first byte, shape: the arguments of `FrameShards.read`

_BLOCK = 1 << 20  # bytes that `FrameShards.checksum` holds at a time


class FrameShards:
    """The shards of one folder, each mapped on first use.

    Only the maps are held, however many videos there are. A process that receives a copy maps the shards again. Later
    conversions never change an existing file, and a deleted file stays mapped.

    Args:
        data_root: The folder that holds ``store``.
    """

    def __init__(self, data_root: str | Path) -> None:
        self.folder = Path(data_root) / STORE
        self._maps: dict[str, mmap.mmap] = {}

    def open(self, names: Sequence[str]) -> None:
        """Map shards now, so that a later conversion cannot remove them.

        Raises:
            FileNotFoundError: A shard is missing.
        """
        for name in names:
            self._mapped(name)

    def read(self, shard: str, offset: int, shape: tuple[int, ...]) -> np.ndarray:
        """Map part of a shard: nothing is copied, and nothing is read before the pixels are used.

        If the disk fails or the file is truncated after this call, using the pixels ends the process with a bus error
        (SIGBUS): mapped memory has no other way to report it.

        Args:
            shard: File name.
            offset: First byte.
            shape: Shape of the array.

        Returns:
            Read-only uint8 array.

        Raises:
            FileNotFoundError: The shard is missing.
            ValueError: The shard is shorter than it was.
        """
        mapped = self._mapped(shard)
        if mapped.size() < offset + prod(shape):  # current file size; takes a microsecond
            raise self._too_short(shard, offset + prod(shape), mapped.size())
        return np.ndarray(shape, np.uint8, mapped, offset)

    def frames(self, places: Sequence[Place]) -> 'np.ndarray | list[np.ndarray]':
        """The frames at places: one array (T, H, W) or (T, H, W, 3), or a list of T arrays if their sizes differ."""
        parts = [self.read(*place) for place in places]
        return parts[0] if len(parts) == 1 else [frame for part in parts for frame in part]

    def checksum(self, shard: str, offset: int, num_bytes: int) -> int:
        """CRC-32 of part of a shard, read from the file, so that a failing disk raises an error instead of a bus error.

        Args:
            shard: File name.
            offset: First byte.
            num_bytes: Number of bytes.

        Raises:
            OSError: The shard is missing or cannot be read.
            ValueError: The shard is too short.
        """
        left, crc32 = num_bytes, 0
        block = memoryview(bytearray(min(_BLOCK, left)))
        with self.path(shard).open('rb', buffering=0) as file:
            file.seek(offset)
            while left:
                count = file.readinto(block[: min(left, _BLOCK)])
                if not count:
                    raise self._too_short(shard, offset + num_bytes, os.fstat(file.fileno()).st_size)
                crc32 = zlib.crc32(block[:count], crc32)
                left -= count
        return crc32

    def path(self, shard: str) -> Path:
        """The path of a shard.

        Raises:
            ValueError: It is a link out of the store.
        """
        path = self.folder / shard
        if leads_out(path, self.folder):
            raise ValueError(f'{path} is a link out of the store: copy its target, or run the converter again.')
        return path

    def _mapped(self, shard: str) -> mmap.mmap:
        if shard not in self._maps:
            path = self.path(shard)
            try:
                with path.open('rb') as file:
                    self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except FileNotFoundError as error:
                what = 'is missing, moved or converted again during this run'
                raise FileNotFoundError(f'{path} {what}: start the run again.') from error
        return self._maps[shard]

    def _too_short(self, shard: str, needed: int, found: int) -> ValueError:
        what = f'is truncated: it has {found} bytes, but a video ends at byte {needed}'
        return ValueError(f'{self.path(shard)} {what}; copy it again, or run the converter again.')

    def __getstate__(self) -> dict:
        """Drop the maps: a process that receives a copy opens its own."""
        return {**vars(self), '_maps': {}}


def single_places(place: Place) -> list[Place]:
    """The places of the individual frames at a place.

    >>> single_places(('a', 100, (2, 2, 3)))
    [('a', 100, (1, 2, 3)), ('a', 106, (1, 2, 3))]
    """
    shard, offset, (count, *size) = place
    return [(shard, offset + k * prod(size), (1, *size)) for k in range(count)]
