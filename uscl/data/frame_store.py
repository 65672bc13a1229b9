"""Frames of all videos, decoded, in a few files that are mapped into memory: the only copy that a data folder has.

.. code-block:: none

    DIR/store/index.json             what is where, with version, checksums and facts about the sources
    DIR/store/<name>.safetensors …   uint8 pixels, frame after frame, video after video, nothing between
    DIR/store/<name>.jsonl           of a shard that a run is writing, or was writing when it died: a line a video

Grey frames have one byte a pixel, coloured ones three (blue, green, red, as everywhere in mmcv). A video lies in one
shard; its frames are one tensor (T, H, W) or (T, H, W, 3), or, where they differ in size, one of all their bytes.
Shards are written once and never changed, so any number of processes may read them at the same time; the pages of a
mapped file are shared by all of them and belong to the system's cache, not to a process.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from uscl.core.atomic_files import write_text

from .frame_shards import STORE, FrameShards, Place

INDEX = 'index.json'
FORMAT, VERSION = 'uscl frame store', 2
REMEDY = 'run the converter again'


@dataclass(frozen=True)
class StoredVideo:
    """Where the frames of a video are.

    Attributes:
        shard: File name.
        offset: Its first byte in the file.
        shapes: Of runs of frames of one size that follow each other, most videos have one: (T, H, W) grey or
            (T, H, W, 3) colour.
        crc32: Of all its bytes.
        facts: What the converter knows of the source, plain values.
    """

    shard: str
    offset: int
    shapes: tuple[tuple[int, ...], ...]
    crc32: int
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def num_frames(self) -> int:
        """Of all sizes."""
        return sum(shape[0] for shape in self.shapes)

    @property
    def num_bytes(self) -> int:
        """Of all frames."""
        return sum(map(prod, self.shapes))

    def places(self, start: int = 0, count: int | None = None) -> tuple[Place, ...]:
        """Where ``count`` frames are, from frame ``start`` on: a place for each size that they have."""
        stop = self.num_frames if count is None else start + count
        found, first, offset = [], 0, self.offset
        for shape in self.shapes:
            low, high = max(start - first, 0), min(stop - first, shape[0])
            if low < high:
                found.append((self.shard, offset + low * prod(shape[1:]), (high - low, *shape[1:])))
            first, offset = first + shape[0], offset + prod(shape)
        return tuple(found)


@dataclass(frozen=True)
class StoreIndex:
    """The content of ``index.json``.

    Attributes:
        shards: File name → size in bytes.
        videos: By video id.
    """

    shards: dict[str, int] = field(default_factory=dict)
    videos: dict[str, StoredVideo] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """Size of all shards."""
        return sum(self.shards.values())


def read_index(data_root: str | Path) -> StoreIndex:
    """Read the index of a folder and check that its shards are whole in size.

    Args:
        data_root: The folder that a converter wrote.

    Raises:
        FileNotFoundError: The folder has no store, or a shard is gone.
        ValueError: The store is of another version, or damaged.
    """
    path = Path(data_root) / STORE / INDEX
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist, so there are no frames in {data_root}: {REMEDY}.') from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not valid JSON ({error}): {REMEDY}.') from error
    if not isinstance(content, dict) or content.get('format') != FORMAT or content.get('version') != VERSION:
        version = content.get('version') if isinstance(content, dict) else None
        raise ValueError(
            f'{path} has version {version}, this version of uscl_plugin reads {VERSION}: convert again, into a new '
            f'folder.'
        )
    try:
        index = _parse(content)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is damaged ({error!r}): {REMEDY}.') from error
    for name, size in index.shards.items():
        shard = path.with_name(name)
        if not shard.is_file():
            raise FileNotFoundError(f'{shard} is gone: copy the folder again, or {REMEDY}.')
        if (found := shard.stat().st_size) != size:
            raise ValueError(f'{shard} should have {size} bytes, but has {found}: copy it again, or {REMEDY}.')
    return index


def find_stored(data_root: str | Path, entries: Sequence[Mapping]) -> tuple[FrameShards, dict[str, StoredVideo]]:
    """Find the videos of an annotation in the store of its folder.

    Args:
        data_root: The folder.
        entries: Entries of its annotation.

    Returns:
        The shards, and every video by id.

    Raises:
        FileNotFoundError: See :func:`read_index`.
        ValueError: The store is of another version or damaged, or lacks a video of the annotation; names it.
    """
    index = read_index(data_root)
    for entry in entries:
        stored = index.videos.get(entry['video_id'])
        if stored is None or stored.num_frames != entry['num_frames']:
            what = 'is not there' if stored is None else f'has {stored.num_frames} frames'
            raise ValueError(
                f'video {entry["video_id"]!r} of the annotation, {entry["num_frames"]} frames, {what} in '
                f'{Path(data_root) / STORE}: {REMEDY}.'
            )
    return FrameShards(data_root), {entry['video_id']: index.videos[entry['video_id']] for entry in entries}


def stored_damage(shards: FrameShards, video: StoredVideo) -> str | None:
    """What is wrong with the bytes of a video; None if they are those that were written."""
    return bytes_damage(shards, video.shard, video.offset, video.num_bytes, video.crc32)


def bytes_damage(shards: FrameShards, shard: str, offset: int, num_bytes: int, crc32: int) -> str | None:
    """As :func:`stored_damage`, by the numbers alone."""
    path = shards.path(shard)
    try:
        found = shards.checksum(shard, offset, num_bytes)
    except OSError as error:
        return f'{path} cannot be read ({error.strerror})'
    except ValueError as error:  # shorter than a moment ago
        return str(error)
    if found != crc32:
        return f'{path} does not hold what was written there (checksum {found:08x}, not {crc32:08x})'
    return None


def damaged_videos(data_root: str | Path) -> dict[str, str]:
    """Check everything that is in the store of a folder.

    Returns:
        Reason by id of the videos whose bytes do not have the checksum that they were written with.

    Raises:
        FileNotFoundError: The folder has no store, or a shard is gone.
        ValueError: The index is of another version, or damaged.
    """
    shards = FrameShards(data_root)
    found = ((name, stored_damage(shards, video)) for name, video in read_index(data_root).videos.items())
    return {name: damage for name, damage in found if damage is not None}


def write_index(data_root: str | Path, index: StoreIndex) -> None:
    """Write ``index.json`` in one step."""
    videos = {video_id: vars(video) for video_id, video in index.videos.items()}  # asdict would take a second
    content = {'format': FORMAT, 'version': VERSION, 'shards': index.shards, 'videos': videos}
    write_text(Path(data_root) / STORE / INDEX, json.dumps(content, ensure_ascii=False) + '\n')


def parse_video(video: Mapping[str, Any]) -> StoredVideo:
    """A video from JSON.

    Raises:
        ValueError: It is not as :class:`StoredVideo` says; so do KeyError, TypeError and AttributeError.
    """
    shapes = tuple(tuple(shape) for shape in video['shapes'])
    values = (video['offset'], video['crc32'], *(value for shape in shapes for value in shape))
    is_sound = all(type(value) is int and value >= 0 for value in values)
    if not is_sound or not shapes or any(len(shape) not in (3, 4) or shape[0] < 1 for shape in shapes):
        raise ValueError('a place in the store should be whole numbers, shapes of three or four')
    return StoredVideo(_file_name(video['shard']), video['offset'], shapes, video['crc32'], dict(video['facts']))


def _file_name(name: Any) -> str:
    if not isinstance(name, str) or Path(name).name != name or len(name) > 255:
        raise ValueError('the name of a shard is none of a file in this folder')
    return name


def _parse(content: Mapping[str, Any]) -> StoreIndex:
    shards = {_file_name(name): int(size) for name, size in content['shards'].items()}
    videos = {name: parse_video(video) for name, video in content['videos'].items()}
    for name, video in videos.items():
        if video.offset + video.num_bytes > shards[video.shard]:
            raise ValueError(f'video {name!r} does not lie within its shard')
    return StoreIndex(shards, videos)
