"""Pack the frames of a dataset folder into its memory-mapped store (see :mod:`.frame_store`)."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock

from .frame_store import INDEX, STORE, StoreIndex, end_bytes, names_digest, read_index, write_index
from .shard_writer import ShardWriter

SHARD_BYTES = 1 << 30  # files of this size are few, and still easy to copy
_BLOCK = 64  # frames that are in memory at the same time


def pack_frames(
    data_root: str | Path,
    entries: Sequence[dict],
    workers: int | None = None,
    shard_bytes: int = SHARD_BYTES,
    advance: Callable[[], None] = lambda: None,
) -> StoreIndex:
    """Write the store of a folder, unless it is up to date. Data sets that have been built go on with the older one.

    Frames are stored as an image reader gives them: without loss, turned as their metadata say, eight bits. A video
    whose frames differ in size or kind, or cannot be decoded, is left out: its image files are read instead. Where
    two processes pack a folder, the second waits for the first.

    Args:
        data_root: The folder that a converter wrote.
        entries: ``data_list`` of its annotation.
        workers: Threads that decode; None is one for every core.
        shard_bytes: Size above which a new shard is begun.
        advance: Called after every video.

    Returns:
        What is in the store now.

    Raises:
        FileNotFoundError: Image files are gone; the store, which may hold the only copy, stays as it is.
        OSError: Something cannot be read or written; an earlier store stays, unless :func:`discard_store` was called.
    """
    root, folder = Path(data_root), Path(data_root) / STORE
    stamp, changed = _stamp(root, entries)
    if earlier := _find_current(root, stamp, changed):  # also where nothing may be written
        return earlier
    folder.mkdir(exist_ok=True)
    with FileLock(folder / '.lock'):
        if earlier := _find_current(root, stamp, changed):  # another process has done it
            return earlier
        writer = ShardWriter(folder, shard_bytes)
        videos, left_out = {}, {}
        try:
            with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:  # decoding releases the interpreter's lock
                for entry in entries:
                    name, frames = entry['video_id'], entry['frames']
                    images = _read_images(pool, root, frames)
                    written = writer.write(images, names_digest(frames), end_bytes(root, frames))
                    if isinstance(written, str):
                        left_out[name] = written
                    else:
                        videos[name] = written
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


def _read_images(pool: ThreadPoolExecutor, root: Path, frames: Sequence[str]) -> Iterator[np.ndarray | None]:
    for start in range(0, len(frames), _BLOCK):
        yield from pool.map(partial(_read_image, root), frames[start : start + _BLOCK])


def _read_image(root: Path, frame: str) -> np.ndarray | None:
    content = np.fromfile(root / frame, np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_ANYCOLOR) if content.size else None  # (H, W) or (H, W, 3) BGR, uint8


def _stamp(root: Path, entries: Sequence[dict]) -> tuple[str, int]:
    """Digest of every video's name and of the name and size of every frame, and when a frame was changed last."""
    digest, changed = sha256(), 0
    for entry in entries:
        digest.update(f'{entry["video_id"]}\n'.encode())
        for frame in entry['frames']:
            try:
                status = (root / frame).stat()
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f'{root / frame} of video {entry["video_id"]!r} is gone, so nothing is packed: restore the image '
                    f'files or run the converter again; a store that is there without them can be used as it is'
                ) from error
            changed = max(changed, status.st_mtime_ns)
            digest.update(f'{frame}\0{status.st_size}\n'.encode())
    return digest.hexdigest()[:16], changed


def _find_current(root: Path, stamp: str, changed: int) -> StoreIndex | None:
    try:
        index = read_index(root)
        is_newer = changed <= (root / STORE / INDEX).stat().st_mtime_ns
    except (FileNotFoundError, ValueError):  # damaged or of another version: it is replaced
        return None
    return index if index is not None and index.stamp == stamp and is_newer else None


def _remove_others(folder: Path, keep: set[str]) -> None:
    """Remove older shards and what killed runs have left. Anything else stays, and what cannot be removed."""
    for file in [*folder.glob('*.bin'), *folder.glob('.*.tmp')]:
        if file.name not in keep:
            try:
                file.unlink()
            except OSError:
                continue
