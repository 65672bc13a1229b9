"""Frames of all videos, decoded, in a few files that are mapped into memory.

.. code-block:: none

    DIR/store/index.json               what is where, with version and checksums
    DIR/store/<digest>-00000.bin …     uint8 pixels, frame after frame, video after video, nothing between

Grey frames have one byte a pixel, coloured ones three (blue, green, red, as everywhere in mmcv). A video lies in one
shard. Shards are written once and never changed, so any number of processes may read them at the same time; the pages
of a mapped file are shared by all of them and belong to the system's cache, not to a process.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

from .frame_shards import STORE, FrameShards, Place

INDEX = 'index.json'
FORMAT, VERSION = 'uscl_plugin frame store', 1


@dataclass(frozen=True)
class StoredVideo:
    """Where the frames of a video are.

    Attributes:
        shard: Number of the file.
        offset: Its first byte.
        shape: (T, H, W) grey or (T, H, W, 3) colour.
        crc32: Of all its bytes.
        frames: Digest of the names of the frames, see :func:`names_digest`.
        end_bytes: Sizes of the first and the last image file, see :func:`end_bytes`.
    """

    shard: int
    offset: int
    shape: tuple[int, ...]
    crc32: int
    frames: str
    end_bytes: tuple[int, ...]

    @property
    def place(self) -> Place:
        """Where all frames are."""
        return self.shard, self.offset, self.shape


@dataclass(frozen=True)
class StoreIndex:
    """The content of ``index.json``.

    Attributes:
        shards: File names and sizes in bytes.
        videos: By video id.
        left_out: Videos that stay image files, with the reason.
        stamp: Digest of the files that it was packed from, see :mod:`.frame_packing`.
    """

    shards: list[tuple[str, int]]
    videos: dict[str, StoredVideo]
    left_out: dict[str, str]
    stamp: str

    @property
    def num_bytes(self) -> int:
        """Size of all shards."""
        return sum(size for _, size in self.shards)


def names_digest(frames: list[str]) -> str:
    """Digest of the frames that an annotation lists for a video."""
    return sha256('\n'.join(frames).encode()).hexdigest()[:16]


def end_bytes(data_root: str | Path, frames: list[str]) -> tuple[int, int]:
    """Sizes of the first and the last image file of a video.

    Raises:
        OSError: They are not there.
    """
    root = Path(data_root)
    return (root / frames[0]).stat().st_size, (root / frames[-1]).stat().st_size


def read_index(data_root: str | Path) -> StoreIndex | None:
    """Read the index of a folder and check that its shards are whole in size.

    Args:
        data_root: The folder that a converter wrote.

    Returns:
        The index; None if the folder has no store.

    Raises:
        ValueError: The store is of another version, or damaged.
    """
    path = Path(data_root) / STORE / INDEX
    remedy = f'run the converter again, or delete {path.parent} (then the image files are read).'
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not valid JSON ({error}): {remedy}') from error
    if not isinstance(content, dict) or content.get('format') != FORMAT or content.get('version') != VERSION:
        version = content.get('version') if isinstance(content, dict) else None
        raise ValueError(f'{path} has version {version}, this version of uscl_plugin reads {VERSION}: {remedy}')
    try:
        index = _parse(content)
    except (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is damaged ({error!r}): {remedy}') from error
    for name, size in index.shards:
        shard = path.with_name(name)
        found = shard.stat().st_size if shard.is_file() else None
        if found != size:
            what = 'but is not there (or is being packed anew: try again)' if found is None else f'but has {found}'
            raise ValueError(f'{shard} should have {size} bytes, {what}: {remedy}')
    return index


def find_stored(data_root: str | Path, entries: Sequence[dict]) -> tuple[FrameShards, dict[str, StoredVideo]]:
    """Find videos in the store of a folder.

    Args:
        data_root: The folder.
        entries: Entries of its annotation.

    Returns:
        The shards, and those videos that are stored as the annotation lists them, by id; nothing where the folder has
        no store.

    Raises:
        ValueError: See :func:`read_index`.

    Warns:
        UserWarning: Videos are missing that could be in it, or their image files are others than those packed.
    """
    index = read_index(data_root) or StoreIndex([], {}, {entry['video_id']: 'no store' for entry in entries}, '')
    found, missing = {}, []
    for entry in entries:
        video_id = entry['video_id']
        stored = index.videos.get(video_id)
        if stored is not None and _is_current(data_root, entry['frames'], stored):
            found[video_id] = stored
        elif video_id not in index.left_out:
            missing.append(video_id)
    if missing:
        warnings.warn(
            f'the frame store of {data_root} lacks {len(missing)} of {len(entries)} videos as the annotation and the '
            f'image files have them, first {missing[0]!r}, so these files are read, which is slower: pack it anew with '
            f'tools/dataset_converters/pack_frames.py {data_root}.',
            stacklevel=2,
        )
    return FrameShards(data_root, [name for name, _ in index.shards]), found


def _is_current(data_root: str | Path, frames: list[str], stored: StoredVideo) -> bool:
    """Whether a video was packed from the listed frames, as far as their names and two files' sizes tell."""
    if stored.frames != names_digest(frames):
        return False
    try:
        return end_bytes(data_root, frames) == stored.end_bytes
    except FileNotFoundError:  # a copy without image files
        return True


def stored_damage(shards: FrameShards, video: StoredVideo) -> str | None:
    """What is wrong with the bytes of a video; None if they are those that were written."""
    path = shards.path(video.shard)
    try:
        found = shards.checksum(*video.place)
    except OSError as error:
        return f'{path} cannot be read ({error.strerror})'
    except ValueError as error:  # shorter than a moment ago
        return str(error)
    if found != video.crc32:
        return f'{path} does not hold what was written there (checksum {found:08x}, not {video.crc32:08x})'
    return None


def write_index(path: Path, index: StoreIndex) -> None:
    """Write ``index.json`` under any name."""
    videos = {video_id: vars(video) for video_id, video in index.videos.items()}
    content = {'format': FORMAT, 'version': VERSION, **vars(index), 'videos': videos}
    path.write_text(json.dumps(content, ensure_ascii=False) + '\n', encoding='utf-8')


def _parse(content: dict[str, Any]) -> StoreIndex:
    shards = [(name, int(size)) for name, size in content['shards']]
    if any(not isinstance(name, str) or Path(name).name != name or len(name) > 255 for name, _ in shards):
        raise ValueError('the name of a shard is none of a file in this folder')
    videos = {
        name: StoredVideo(**video | {key: tuple(video[key]) for key in ('shape', 'end_bytes')})
        for name, video in content['videos'].items()
    }
    for name, video in videos.items():
        values = (video.shard, video.offset, video.crc32, *video.shape)
        is_sound = all(isinstance(value, int) and value >= 0 for value in values) and len(video.shape) in (3, 4)
        if not is_sound or video.offset + prod(video.shape) > shards[video.shard][1]:
            raise ValueError(f'video {name!r} does not lie within its shard, or has no checksum')
    return StoreIndex(shards, videos, dict(content['left_out']), str(content['stamp']))
