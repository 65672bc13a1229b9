"""Write the frame store of a data folder video by video, so that an interrupted run loses only the current video."""

import json
import os
import secrets
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TextIO

import numpy as np

from .frame_shards import STORE, FrameShards
from .frame_store import StoredVideo, StoreIndex, parse_video, read_index, seal, stored_damage, write_index

SHARD_BYTES = 1 << 30  # few files, each still easy to copy
_BLOCK = 1 << 20
_PER_VIDEO = 160  # header bytes per tensor, without its name
_SUFFIX, _JOURNAL = '.safetensors', '.jsonl'


class StoreWriter:
    """Append videos to new shards, leaving those already in the store in place.

    Each video is written to a shard and then recorded in the shard's journal. :meth:`commit` writes an ``index.json``
    of everything present, atomically, so readers see the old index or the new one. An interrupted run leaves its
    journals, and the next writer recovers the videos listed there. Only one writer may be active at a time.

    A shard has the safetensors layout: eight bytes with the length of the header, the header (JSON, padded with spaces
    to the reserved length), and the tensors.

    Args:
        data_root: The data folder; ``store`` is created in it if needed.
        names: Ids of the videos that may be added; the headers reserve space for them.
        shard_bytes: Size above which a new shard is started.

    Attributes:
        index: The current contents: from the last index and from the journals.

    Raises:
        ValueError: ``store`` is a link, or is damaged.
    """

    def __init__(self, data_root: str | Path, names: Iterable[str], shard_bytes: int = SHARD_BYTES) -> None:
        self.data_root = Path(data_root)
        self.folder = self.data_root / STORE
        if self.folder.is_symlink():  # the frames of another folder, of which some would be deleted
            raise ValueError(f'{self.folder} is a link: remove it, or choose another folder.')
        self.folder.mkdir(parents=True, exist_ok=True)
        self.shard_bytes = shard_bytes
        self._reserve = 64 + sum(len(json.dumps(name)) + _PER_VIDEO for name in names)
        self._reserve += -self._reserve % 8
        self._shard: BinaryIO | None = None
        self._journal: TextIO | None = None
        try:
            self.index = read_index(self.data_root)
        except FileNotFoundError:
            self.index = StoreIndex()
        for journal in sorted(self.folder.glob(f'*{_JOURNAL}')):
            self._recover(journal)

    def add(self, video_id: str, frames: Iterable[np.ndarray], facts: dict[str, Any]) -> StoredVideo:
        """Append a video from arrays.

        Args:
            video_id: Id of the video; replaces an existing video with this id.
            frames: (H, W) grey or (H, W, 3) BGR, uint8; at least one.
            facts: See :class:`StoredVideo`.
        """
        shapes: list[list[int]] = []

        def blocks() -> Iterator[memoryview]:
            for frame in frames:
                append_shape(shapes, frame.shape)
                yield np.ascontiguousarray(frame).data.cast('B')

        return self._append(video_id, blocks(), shapes, facts)

    def add_file(
        self, video_id: str, path: Path, shapes: Sequence[Sequence[int]], facts: dict[str, Any]
    ) -> StoredVideo:
        """Append a video whose raw bytes are in a file, with shapes as built by :func:`append_shape`."""
        with path.open('rb') as file:
            return self._append(video_id, iter(partial(file.read, _BLOCK), b''), shapes, facts)

    def commit(self) -> StoreIndex:
        """Finish the current shard and write the index of everything present."""
        self._finish()
        write_index(self.data_root, self.index)
        for journal in self.folder.glob(f'*{_JOURNAL}'):
            journal.unlink()
        return self.index

    def prune(self, keep: Collection[str]) -> StoreIndex:
        """Remove all other videos, and delete the bytes of removed and replaced ones; no frame is decoded."""
        self._finish()
        kept = {name: video for name, video in self.index.videos.items() if name in keep}
        stale = []
        for shard, size in self.index.shards.items():
            live = {name: video for name, video in kept.items() if video.shard == shard}
            start = min((video.offset for video in live.values()), default=size)
            if size - start != sum(video.num_bytes for video in live.values()) or not self._is_tight(shard, start):
                stale.append((shard, live))
        shards = FrameShards(self.data_root)
        is_changed = bool(stale) or len(kept) < len(self.index.videos) or any(self.folder.glob(f'*{_JOURNAL}'))
        self.index = replace(self.index, videos=kept)
        for _, live in stale:
            for name, video in sorted(live.items(), key=lambda item: item[1].offset):
                pixels = shards.read(video.shard, video.offset, (video.num_bytes,))
                copy = self._append(name, [pixels.data], video.shapes, video.facts)
                if copy.crc32 != video.crc32:
                    raise ValueError(f'{shards.path(video.shard)} has changed since it was written: convert again.')
        self._finish()
        gone = {shard for shard, _ in stale}
        self.index = replace(self.index, shards={k: v for k, v in self.index.shards.items() if k not in gone})
        if is_changed:
            self.commit()
        for file in [*self.folder.glob(f'*{_SUFFIX}'), *self.folder.glob('.*.tmp')]:
            if file.name not in self.index.shards:
                file.unlink(missing_ok=True)
        return self.index

    def __enter__(self) -> 'StoreWriter':
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the files; videos added since the last commit are left for the next writer to recover."""
        for file in (self._shard, self._journal):
            if file is not None:
                file.close()

    def _append(
        self, video_id: str, blocks: Iterable[Any], shapes: Sequence[Sequence[int]], facts: dict[str, Any]
    ) -> StoredVideo:
        shard, journal = self._open()
        offset, crc32 = shard.seek(0, os.SEEK_END), 0
        try:
            for block in blocks:
                crc32 = zlib.crc32(block, crc32)
                shard.write(block)
            shard.flush()
        except BaseException:
            shard.truncate(offset)
            raise
        name = Path(shard.name).name
        crc32 = seal(crc32, video_id, shapes)
        video = StoredVideo(name, offset, tuple(tuple(shape) for shape in shapes), crc32, facts)
        if offset + video.num_bytes != shard.tell():
            raise ValueError(f'video {video_id!r} has {shard.tell() - offset} bytes, but needs {video.num_bytes}.')
        journal.write(json.dumps({'video_id': video_id, **vars(video)}, ensure_ascii=False) + '\n')
        journal.flush()
        self._take(video_id, video, shard.tell())
        return video

    def _take(self, video_id: str, video: StoredVideo, size: int) -> None:
        self.index.videos[video_id] = video
        self.index.shards[video.shard] = size

    def _open(self) -> tuple[BinaryIO, TextIO]:
        if self._shard is not None and self._shard.tell() >= self.shard_bytes:
            self._finish()
        if self._shard is None or self._journal is None:
            path = self.folder / f'{secrets.token_hex(6)}{_SUFFIX}'
            self._journal = path.with_suffix(_JOURNAL).open('w', encoding='utf-8')
            self._shard = path.open('w+b')
            self._shard.write(self._reserve.to_bytes(8, 'little') + b' ' * self._reserve)
        return self._shard, self._journal

    def _finish(self) -> None:
        if self._shard is None or self._journal is None:
            return
        self._write_header(self._shard)
        self._shard.close()
        self._journal.close()
        self._shard = self._journal = None

    def _write_header(self, shard: BinaryIO) -> None:
        name = Path(shard.name).name
        shard.seek(0)
        reserve = int.from_bytes(shard.read(8), 'little')
        tensors = {}
        for video_id, video in self.index.videos.items():
            if video.shard == name:
                shape = video.shapes[0] if len(video.shapes) == 1 else (video.num_bytes,)
                begin = video.offset - 8 - reserve
                tensors[video_id] = {'dtype': 'U8', 'shape': shape, 'data_offsets': (begin, begin + video.num_bytes)}
        header = json.dumps(tensors, separators=(',', ':')).encode()
        if len(header) <= reserve:  # otherwise unannounced videos were added, and only the index locates them
            shard.seek(8)
            shard.write(header.ljust(reserve))
        shard.flush()
        os.fsync(shard.fileno())

    def _recover(self, journal: Path) -> None:
        """Recover what an interrupted run had finished; a truncated line or video is lost."""
        path, end = journal.with_suffix(_SUFFIX), 0
        shards = FrameShards(self.data_root)
        if path.is_file() and not path.is_symlink():
            for line in journal.read_text(encoding='utf-8', errors='replace').splitlines():
                try:
                    content = json.loads(line)
                    video = parse_video(content)
                    video_id = str(content['video_id'])
                except (ValueError, KeyError, TypeError, AttributeError):
                    break
                if video.shard != path.name or stored_damage(shards, video_id, video) is not None:
                    break
                end = video.offset + video.num_bytes
                self._take(video_id, video, end)
        if not end:
            path.unlink(missing_ok=True)
            journal.unlink()
            return
        with path.open('r+b') as shard:
            shard.truncate(end)
            self._write_header(shard)

    def _is_tight(self, shard: str, start: int) -> bool:
        """Whether the first video directly follows the shard's header."""
        with (self.folder / shard).open('rb') as file:
            return 8 + int.from_bytes(file.read(8), 'little') == start


def append_shape(shapes: list[list[int]], frame: Sequence[int]) -> None:
    """Add the shape of one more frame to those of a video, in place, merging runs of equal size.

    >>> shapes = []
    >>> for frame in ((2, 3), (2, 3), (4, 3)):
    ...     append_shape(shapes, frame)
    >>> shapes
    [[2, 2, 3], [1, 4, 3]]
    """
    if shapes and shapes[-1][1:] == list(frame):
        shapes[-1][0] += 1
    else:
        shapes.append([1, *frame])
