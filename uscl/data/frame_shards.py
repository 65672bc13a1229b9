"""The files of a frame store, mapped into memory."""

import mmap
import os
import zlib
from math import prod
from pathlib import Path

import numpy as np

STORE = 'store'  # the folder inside a data folder

Place = tuple[int, int, tuple[int, ...]]  # shard, first byte, shape: what `FrameShards.read` takes

_BLOCK = 1 << 20  # bytes that `FrameShards.checksum` holds at the same time


class FrameShards:
    """The shards of one folder, mapped when this is made, so that a folder packed anew later changes nothing here.

    It holds no more than the names and the maps of the shards, however many videos there are. A process that gets a
    copy maps them when it first reads.

    Args:
        data_root: The folder that holds ``store``.
        names: File names of the shards.

    Raises:
        FileNotFoundError: A shard is gone.
    """

    def __init__(self, data_root: str | Path, names: list[str]) -> None:
        self.folder = Path(data_root) / STORE
        self.names = list(names)
        self._maps = {shard: self._map(shard) for shard in range(len(names))}

    def read(self, shard: int, offset: int, shape: tuple[int, ...]) -> np.ndarray:
        """A part of a shard: nothing is copied, and nothing is read before its pixels are used.

        A disk that fails, or a file that is cut off, between this call and the use of the pixels ends the process with
        a bus error (SIGBUS): what is mapped has no other way to report it.

        Args:
            shard: Number of the shard.
            offset: First byte.
            shape: Of the array.

        Returns:
            Read-only uint8 array.

        Raises:
            FileNotFoundError: The shard is gone.
            ValueError: It is shorter than it was.
        """
        if shard not in self._maps:
            self._maps[shard] = self._map(shard)
        mapped = self._maps[shard]
        if mapped.size() < offset + prod(shape):  # of the file as it is now; costs a microsecond
            raise self._too_short(shard, offset + prod(shape), mapped.size())
        return np.ndarray(shape, np.uint8, mapped, offset)

    def checksum(self, shard: int, offset: int, shape: tuple[int, ...]) -> int:
        """CRC-32 of a part of a shard, read from the file, so that a disk that fails is an error and no bus error.

        Args:
            shard: Number of the shard.
            offset: First byte.
            shape: Of the array.

        Raises:
            OSError: The shard is gone, or cannot be read.
            ValueError: It ends too early.
        """
        left, crc32 = prod(shape), 0
        block = memoryview(bytearray(min(_BLOCK, left)))
        with self.path(shard).open('rb', buffering=0) as file:
            file.seek(offset)
            while left:
                count = file.readinto(block[: min(left, _BLOCK)])
                if not count:
                    raise self._too_short(shard, offset + prod(shape), os.fstat(file.fileno()).st_size)
                crc32 = zlib.crc32(block[:count], crc32)
                left -= count
        return crc32

    def path(self, shard: int) -> Path:
        """The file of a shard."""
        return self.folder / self.names[shard]

    def _map(self, shard: int) -> mmap.mmap:
        path = self.path(shard)
        try:
            with path.open('rb') as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{path} is gone, it was moved or packed anew while this run was going on: start the run again.'
            ) from error

    def _too_short(self, shard: int, needed: int, found: int) -> ValueError:
        return ValueError(
            f'{self.path(shard)} has {found} bytes, but a video ends at byte {needed}: it was cut off while this run '
            f'was going on; copy it again, or delete {self.folder} and pack the frames anew.'
        )

    def __getstate__(self) -> dict:
        """Without the maps: a process that gets a copy opens its own."""
        return {**vars(self), '_maps': {}}


def frames_at(place: Place, start: int, count: int) -> Place:
    """Where ``count`` frames are, from frame ``start`` of those at ``place`` on.

    >>> frames_at((0, 100, (5, 2, 3)), 1, 2)
    (0, 106, (2, 2, 3))
    """
    shard, offset, shape = place
    return shard, offset + start * prod(shape[1:]), (count, *shape[1:])
