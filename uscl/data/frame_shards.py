"""The files of a frame store, mapped into memory."""

import mmap
import os
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np

STORE = 'store'  # the folder inside a data folder

Place = tuple[str, int, tuple[int, ...]]  # shard, first byte, shape: what `FrameShards.read` takes

_BLOCK = 1 << 20  # bytes that `FrameShards.checksum` holds at the same time


class FrameShards:
    """The shards of one folder, each mapped when it is first read.

    It holds no more than the maps of the shards, however many videos there are. A process that gets a copy maps its
    own. What a converter writes later changes no file that is there, and a file that is deleted stays mapped.

    Args:
        data_root: The folder that holds ``store``.
    """

    def __init__(self, data_root: str | Path) -> None:
        self.folder = Path(data_root) / STORE
        self._maps: dict[str, mmap.mmap] = {}

    def open(self, names: Sequence[str]) -> None:
        """Map shards now, so that a converter that runs later takes none of them away.

        Raises:
            FileNotFoundError: One is gone.
        """
        for name in names:
            self._mapped(name)

    def read(self, shard: str, offset: int, shape: tuple[int, ...]) -> np.ndarray:
        """A part of a shard: nothing is copied, and nothing is read before its pixels are used.

        A disk that fails, or a file that is cut off, between this call and the use of the pixels ends the process with
        a bus error (SIGBUS): what is mapped has no other way to report it.

        Args:
            shard: File name.
            offset: First byte.
            shape: Of the array.

        Returns:
            Read-only uint8 array.

        Raises:
            FileNotFoundError: The shard is gone.
            ValueError: It is shorter than it was.
        """
        mapped = self._mapped(shard)
        if mapped.size() < offset + prod(shape):  # of the file as it is now; costs a microsecond
            raise self._too_short(shard, offset + prod(shape), mapped.size())
        return np.ndarray(shape, np.uint8, mapped, offset)

    def frames(self, places: Sequence[Place]) -> 'np.ndarray | list[np.ndarray]':
        """The frames at places: one array (T, H, W) or (T, H, W, 3), or, where sizes differ, a list of T arrays."""
        parts = [self.read(*place) for place in places]
        return parts[0] if len(parts) == 1 else [frame for part in parts for frame in part]

    def checksum(self, shard: str, offset: int, num_bytes: int) -> int:
        """CRC-32 of a part of a shard, read from the file, so that a disk that fails is an error and no bus error.

        Args:
            shard: File name.
            offset: First byte.
            num_bytes: Length.

        Raises:
            OSError: The shard is gone, or cannot be read.
            ValueError: It ends too early.
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
        """The file of a shard."""
        return self.folder / shard

    def _mapped(self, shard: str) -> mmap.mmap:
        if shard not in self._maps:
            path = self.path(shard)
            try:
                with path.open('rb') as file:
                    self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f'{path} is gone, it was moved or converted anew while this run was going on: start the run again.'
                ) from error
        return self._maps[shard]

    def _too_short(self, shard: str, needed: int, found: int) -> ValueError:
        return ValueError(
            f'{self.path(shard)} has {found} bytes, but a video ends at byte {needed}: it was cut off; copy it again, '
            f'or run the converter again.'
        )

    def __getstate__(self) -> dict:
        """Without the maps: a process that gets a copy opens its own."""
        return {**vars(self), '_maps': {}}


def single_places(place: Place) -> list[Place]:
    """The places of the frames at a place, one by one.

    >>> single_places(('a', 100, (2, 2, 3)))
    [('a', 100, (1, 2, 3)), ('a', 106, (1, 2, 3))]
    """
    shard, offset, (count, *size) = place
    return [(shard, offset + k * prod(size), (1, *size)) for k in range(count)]
