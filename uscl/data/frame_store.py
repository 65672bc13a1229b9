"""The decoded frames of all videos in a few memory-mapped files: the only copy in a data folder.

.. code-block:: none

    DIR/store/index.json             locations, version, checksums and facts about the sources
    DIR/store/<name>.safetensors …   uint8 pixels, frame after frame, video after video, without gaps
    DIR/store/<name>.jsonl           journal of a shard that is being written or was interrupted: one line per video

Grey frames take one byte per pixel, colour frames three (BGR, as everywhere in mmcv). A video is stored in one shard;
its frames are one tensor (T, H, W) or (T, H, W, 3), or, if their sizes differ, one tensor of all their bytes. Shards
are written once and never changed, so any number of processes may read them concurrently. The pages of a mapped file
are shared by all of them and belong to the system's cache, not to a process.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from uscl.core.atomic_files import write_text
from uscl.core.plurals import counted

from .frame_shards import STORE, FrameShards, Place

INDEX = 'index.json'
FORMAT, VERSION = 'uscl frame store', 3
REMEDY = 'run the converter again'


@dataclass(frozen=True)
class StoredVideo:
    """Location of the frames of a video.

    Attributes:
        shard: File name of the shard.
        offset: Position of the first byte in the file.
        shapes: Shapes of consecutive runs of equally sized frames, most videos have one: (T, H, W) grey or (T, H, W, 3)
            colour.
        crc32: Checksum of all its bytes, its id and its shapes, see :func:`seal`.
        facts: What the converter knows about the source, as plain values.
    """

    shard: str
    offset: int
    shapes: tuple[tuple[int, ...], ...]
    crc32: int
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def num_frames(self) -> int:
        """Number of frames of all sizes."""
        return sum(shape[0] for shape in self.shapes)

    @property
    def num_bytes(self) -> int:
        """Number of bytes of all frames."""
        return sum(map(prod, self.shapes))

    def places(self, start: int = 0, count: int | None = None) -> tuple[Place, ...]:
        """Locations of ``count`` frames starting at frame ``start``: one place per frame size."""
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
    """The contents of ``index.json``.

    Attributes:
        shards: File name → size in bytes.
        videos: Stored videos by id.
    """

    shards: dict[str, int] = field(default_factory=dict)
    videos: dict[str, StoredVideo] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """Total size of all shards."""
        return sum(self.shards.values())


def read_index(data_root: str | Path, with_facts: bool = True) -> StoreIndex:
    """Read the index of a folder and check that its shards have the right size.

    Args:
        data_root: Folder written by a converter.
        with_facts: Whether to keep the facts, which take most of the memory; otherwise they are empty.

    Raises:
        FileNotFoundError: The folder has no store, or a shard is missing.
        ValueError: The store has another version or is damaged.
    """
    path = Path(data_root) / STORE / INDEX
    try:
        content = json.loads(path.read_text(encoding='utf-8'), object_hook=None if with_facts else _without_facts)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist, so {data_root} has no frames: {REMEDY}.') from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not valid JSON ({error}): {REMEDY}.') from error
    if not isinstance(content, dict) or content.get('format') != FORMAT or content.get('version') != VERSION:
        version = content.get('version') if isinstance(content, dict) else None
        what = f'has version {version}, but this version of uscl_plugin reads version {VERSION}'
        raise ValueError(f'{path} {what}: convert again into a new folder.')
    try:
        index = _parse(content)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is damaged ({error!r}): {REMEDY}.') from error
    for name, size in index.shards.items():
        shard = path.with_name(name)
        if not shard.is_file():
            raise FileNotFoundError(f'{shard} is missing: copy the folder again, or {REMEDY}.')
        if (found := shard.stat().st_size) != size:
            raise ValueError(f'{shard} should have {size} bytes, but has {found}: copy it again, or {REMEDY}.')
    return index


def find_stored(
    data_root: str | Path, entries: Sequence[Mapping], with_facts: bool = True
) -> tuple[FrameShards, dict[str, StoredVideo]]:
    """Find the videos of an annotation in the store of their folder.

    Args:
        data_root: The data folder.
        entries: Entries of the annotation.
        with_facts: See :func:`read_index`.

    Returns:
        The shards, and the stored videos by id.

    Raises:
        FileNotFoundError: See :func:`read_index`.
        ValueError: The store has another version or is damaged, or lacks a video of the annotation; the message names
            it.
    """
    index, folder = read_index(data_root, with_facts), Path(data_root) / STORE
    for entry in entries:
        stored = index.videos.get(entry['video_id'])
        if stored is None or stored.num_frames != entry['num_frames']:
            expected, found = counted(entry['num_frames'], 'frame'), 'none' if stored is None else stored.num_frames
            what = f'video {entry["video_id"]!r} should have {expected}, but has {found} in {folder}'
            raise ValueError(f'{what}: {REMEDY}.')
    return FrameShards(data_root), {entry['video_id']: index.videos[entry['video_id']] for entry in entries}


def seal(crc32: int, video_id: str, shapes: Sequence[Sequence[int]]) -> int:
    """Checksum of a video: that of its bytes, continued with its id and shapes, so that no other video can replace it.

    Like every checksum, it finds accidents: whoever changes frames and checksum alike is not noticed.
    """
    return zlib.crc32(json.dumps([video_id, shapes]).encode(), crc32)


def stored_damage(shards: FrameShards, video_id: str, video: StoredVideo) -> str | None:
    """What is wrong with the bytes of a video; None if they are as written for this id."""
    path = shards.path(video.shard)
    try:
        found = seal(shards.checksum(video.shard, video.offset, video.num_bytes), video_id, video.shapes)
    except OSError as error:
        return f'{path} cannot be read ({error.strerror})'
    except ValueError as error:  # truncated a moment ago
        return str(error)
    if found != video.crc32:
        what = 'has changed since it was written, or has other frames in this place'
        return f'{path} {what} (checksum {found:08x}, expected {video.crc32:08x})'
    return None


def damaged_videos(data_root: str | Path) -> dict[str, str]:
    """Check everything in the store of a folder.

    Returns:
        Damaged videos: id → reason. A video is damaged if its bytes, id or shapes do not match their checksum.

    Raises:
        FileNotFoundError: The folder has no store, or a shard is missing.
        ValueError: The index has another version or is damaged.
    """
    shards = FrameShards(data_root)
    found = ((name, stored_damage(shards, name, video)) for name, video in read_index(data_root).videos.items())
    return {name: damage for name, damage in found if damage is not None}


def write_index(data_root: str | Path, index: StoreIndex) -> None:
    """Write ``index.json`` atomically."""
    videos = {video_id: vars(video) for video_id, video in index.videos.items()}  # asdict takes a second
    content = {'format': FORMAT, 'version': VERSION, 'shards': index.shards, 'videos': videos}
    write_text(Path(data_root) / STORE / INDEX, json.dumps(content, ensure_ascii=False) + '\n')


def parse_video(video: Mapping[str, Any]) -> StoredVideo:
    """Parse a video from JSON.

    Raises:
        ValueError: The fields do not match :class:`StoredVideo`; KeyError, TypeError and AttributeError mean the same.
    """
    shapes = tuple(tuple(shape) for shape in video['shapes'])
    values = (video['offset'], video['crc32'], *(value for shape in shapes for value in shape))
    is_sound = all(type(value) is int and value >= 0 for value in values)
    if not is_sound or not shapes or any(len(shape) not in (3, 4) or shape[0] < 1 for shape in shapes):
        raise ValueError('places in the store should be integers, and shapes should have three or four')
    if not isinstance(facts := video['facts'], dict):
        raise TypeError('facts should be a dict')
    return StoredVideo(_file_name(video['shard']), video['offset'], shapes, video['crc32'], facts)


def _without_facts(found: dict[str, Any]) -> dict[str, Any]:
    """Drop the facts of a video as soon as they are parsed; ``found`` may be any object in the index."""
    if isinstance(found.get('crc32'), int) and isinstance(found.get('facts'), dict):
        found['facts'] = {}
    return found


@lru_cache(maxsize=1024)
def _file_name(name: Any) -> str:
    if not isinstance(name, str) or Path(name).name != name or len(name) > 255:
        raise ValueError('a shard name does not refer to a file in this folder')
    return name


def _parse(content: Mapping[str, Any]) -> StoreIndex:
    shards = {_file_name(name): int(size) for name, size in content['shards'].items()}
    videos = {name: parse_video(video) for name, video in content['videos'].items()}
    for name, video in videos.items():
        if video.offset + video.num_bytes > shards[video.shard]:
            raise ValueError(f'video {name!r} extends beyond its shard')
    return StoreIndex(shards, videos)
