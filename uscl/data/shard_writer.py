"""Write the shards of a frame store."""

import os
import secrets
import zlib
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .frame_store import StoredVideo


class ShardWriter:
    """Appends videos to shards, which get their names when all are written.

    A name is made of what the shard holds, so that a file of a name never changes: who reads by an older index finds
    the older file, or none.

    Args:
        folder: Where the shards go.
        shard_bytes: Size above which a new shard is begun.
    """

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self.folder = folder
        self.shard_bytes = shard_bytes
        self._temporary: list[Path] = []
        self._sizes: list[int] = []
        self._contents: list[list[str]] = []
        self._file: BinaryIO | None = None

    def write(self, images: Iterable[np.ndarray | None], names: str, end_bytes: tuple[int, int]) -> StoredVideo | str:
        """Append a video, or say why it cannot be stored; then nothing is left of it.

        Args:
            images: Its frames, (H, W) or (H, W, 3) uint8; None where one cannot be decoded. At least one.
            names: See :class:`StoredVideo`, as the next.
            end_bytes: Likewise.
        """
        file = self._open()
        offset = self._sizes[-1]
        shape, count, crc32 = None, 0, 0
        for image in images:
            shape = image.shape if shape is None and image is not None else shape
            if image is None or image.shape != shape:
                file.seek(offset)
                file.truncate()
                if image is None:
                    return 'a frame cannot be decoded'
                return f'its frames differ in size or kind: {shape} and {image.shape}'
            content = np.ascontiguousarray(image)
            crc32 = zlib.crc32(content.data, crc32)
            file.write(content.data)
            count += 1
        assert shape is not None
        self._sizes[-1] = file.tell()
        self._contents[-1].append(f'{offset} {count} {shape} {crc32} {names}')
        return StoredVideo(len(self._sizes) - 1, offset, (count, *shape), crc32, names, end_bytes)

    def close(self) -> list[tuple[str, int]]:
        """Give the shards their names; names and sizes."""
        self._finish()
        if self._sizes and not self._sizes[-1]:  # of a last video that could not be stored
            self._temporary.pop().unlink()
            self._sizes.pop(), self._contents.pop()
        digests = [sha256('\n'.join(contents).encode()).hexdigest()[:12] for contents in self._contents]
        names = [f'{digest}-{number:05d}.bin' for number, digest in enumerate(digests)]
        for temporary, name in zip(self._temporary, names, strict=True):
            temporary.replace(self.folder / name)
        return list(zip(names, self._sizes, strict=True))

    def abandon(self) -> None:
        """Remove what was written."""
        if self._file is not None:
            self._file.close()
        for temporary in self._temporary:
            temporary.unlink(missing_ok=True)

    def _open(self) -> BinaryIO:
        if self._file is None or self._sizes[-1] >= self.shard_bytes:
            self._finish()
            self._temporary.append(self.folder / f'.{secrets.token_hex(6)}.tmp')
            self._sizes.append(0)
            self._contents.append([])
            self._file = self._temporary[-1].open('wb')
        return self._file

    def _finish(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
