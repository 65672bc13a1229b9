"""Pack the frames of a dataset folder into its memory-mapped store (see :mod:`.frame_store`)."""

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from .frame_store import INDEX, STORE, StoredVideo, StoreIndex, names_digest, read_index, write_index

SHARD_BYTES = 1 << 30  # files of this size are few, and still easy to copy


def pack_frames(
    data_root: str | Path,
    entries: Sequence[dict],
    workers: int | None = None,
    shard_bytes: int = SHARD_BYTES,
    advance: Callable[[], None] = lambda: None,
) -> StoreIndex:
    """Write the store of a folder, unless it is up to date; readers of an older one are not disturbed.

    Frames are stored as an image reader gives them: without loss, turned as their metadata say, eight bits. A video
    whose frames differ in size or kind, or cannot be read, is left out: its image files are read instead.

    Args:
        data_root: The folder that a converter wrote.
        entries: ``data_list`` of its annotation.
        workers: Threads that decode; None is one for every core.
        shard_bytes: Size above which a new shard is begun.
        advance: Called after every video.

    Returns:
        What is in the store now.

    Raises:
        OSError: The store cannot be written; an earlier one stays, unless :func:`discard_store` was called.
    """
    root, folder = Path(data_root), Path(data_root) / STORE
    stamp, changed = _stamp(root, entries)
    earlier = _read_earlier(root)
    if earlier is not None and earlier.stamp == stamp and changed <= (folder / INDEX).stat().st_mtime_ns:
        return earlier
    folder.mkdir(exist_ok=True)
    writer = _ShardWriter(folder, stamp[:8], shard_bytes)
    videos, left_out = {}, {}
    try:
        with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:  # decoding releases the interpreter's lock
            for entry in entries:
                name, frames = entry['video_id'], entry['frames']
                read = list(pool.map(partial(_read_image, root), frames))
                images = [image for image in read if image is not None]
                shapes = {image.shape for image in images}
                if len(images) < len(read):
                    left_out[name] = 'a frame is missing or cannot be decoded'
                elif len(shapes) > 1:
                    left_out[name] = f'its frames differ in size or kind: {sorted(shapes)[:3]}'
                else:
                    videos[name] = writer.write(images, names_digest(frames))
                advance()
        index = StoreIndex(writer.close(), videos, left_out, stamp)
    except BaseException:
        writer.abandon()
        raise
    temporary = folder / f'.{INDEX}.tmp'
    write_index(temporary, index)
    temporary.replace(folder / INDEX)
    _remove_others(folder, {name for name, _ in index.shards})
    return index


def discard_store(data_root: str | Path) -> None:
    """Take a store out of use before frames change, so that an interruption leaves none rather than a stale one."""
    (Path(data_root) / STORE / INDEX).unlink(missing_ok=True)


class _ShardWriter:
    def __init__(self, folder: Path, prefix: str, shard_bytes: int) -> None:
        self.folder, self.prefix, self.shard_bytes = folder, prefix, shard_bytes
        self._names: list[str] = []
        self._sizes: list[int] = []
        self._file: BinaryIO | None = None

    def write(self, images: list[np.ndarray], frames: str) -> StoredVideo:
        """Append a video; ``frames`` is the digest of their names."""
        if self._file is None or self._sizes[-1] >= self.shard_bytes:
            self._finish()
            self._names.append(f'{self.prefix}-{len(self._names):05d}.bin')
            self._sizes.append(0)
            self._file = (self.folder / f'.{self._names[-1]}.tmp').open('wb')
        offset, crc32 = self._sizes[-1], 0
        for image in images:
            content = np.ascontiguousarray(image)
            crc32 = zlib.crc32(content.data, crc32)
            self._file.write(content.data)
            self._sizes[-1] += content.nbytes
        return StoredVideo(len(self._names) - 1, offset, (len(images), *images[0].shape), crc32, frames)

    def close(self) -> list[tuple[str, int]]:
        """Give the shards their names; names and sizes."""
        self._finish()
        for name in self._names:
            (self.folder / f'.{name}.tmp').replace(self.folder / name)
        return list(zip(self._names, self._sizes, strict=True))

    def abandon(self) -> None:
        if self._file is not None:
            self._file.close()
        for name in self._names:
            (self.folder / f'.{name}.tmp').unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None


def _read_image(root: Path, frame: str) -> np.ndarray | None:
    try:
        content = np.fromfile(root / frame, np.uint8)
    except OSError:
        return None
    return cv2.imdecode(content, cv2.IMREAD_ANYCOLOR) if content.size else None  # (H, W) or (H, W, 3) BGR, uint8


def _stamp(root: Path, entries: Sequence[dict]) -> tuple[str, int]:
    """Digest of every video's name and of the name and size of every frame, and when a frame was changed last."""
    digest, changed = sha256(), 0
    for entry in entries:
        digest.update(f'{entry["video_id"]}\n'.encode())
        for frame in entry['frames']:
            try:
                status = (root / frame).stat()
                size, changed = status.st_size, max(changed, status.st_mtime_ns)
            except OSError:
                size = -1
            digest.update(f'{frame}\0{size}\n'.encode())
    return digest.hexdigest()[:16], changed


def _read_earlier(root: Path) -> StoreIndex | None:
    try:
        return read_index(root)
    except ValueError:  # damaged or of another version: it is replaced
        return None


def _remove_others(folder: Path, keep: set[str]) -> None:
    for file in folder.iterdir():
        if file.name != INDEX and file.name not in keep:
            file.unlink()
