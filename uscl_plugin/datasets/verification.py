"""Check every video once, before the first epoch. Bad ones are counted and dropped, never replaced."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmengine.logging import print_log

from .agreement import unite
from .frame_files import GONE, frames_damage
from .media.frame_store import STORE, FrameShards, StoredVideo, names_digest, read_index, stored_damage

_THREADS = 8  # which mostly wait for the disk or the network; checksums release the interpreter's lock
_NAMED = 3  # videos that an error names


def verify_videos(
    data_root: str | Path,
    entries: Sequence[dict],
    shards: FrameShards,
    stored: Mapping[str, StoredVideo],
    max_bad: float,
    agree: bool = True,
) -> dict[str, str]:
    """Find the bad videos, agree on them with the other processes, log each, and stop if they are too many.

    Args:
        data_root: The data folder.
        entries: ``video_id`` and ``frames`` of the videos to check.
        shards: The folder's frame store.
        stored: The videos that are read from it, by id; of the others, the image files are checked.
        max_bad: Share of the videos that may be bad, in [0, 1].
        agree: Take what other processes of the run have found for bad, too; all of them must call this then.

    Returns:
        Reason by id of those to drop.

    Raises:
        FileNotFoundError: More are bad than may be, all because files are gone.
        ValueError: More are bad than may be, or all are.
    """
    bad = find_bad(data_root, entries, shards, stored)
    if agree:
        bad = unite(bad, names_digest([entry['video_id'] for entry in entries]))
    if not bad:
        return bad
    if len(bad) > max_bad * len(entries) or len(bad) == len(entries):
        named = '; '.join(f'{video_id!r}: {reason}' for video_id, reason in list(bad.items())[:_NAMED])
        more = f'; and {len(bad) - _NAMED} more' if len(bad) > _NAMED else ''
        kind = FileNotFoundError if all(GONE in reason for reason in bad.values()) else ValueError
        raise kind(
            f'{len(bad)} of {len(entries)} videos of {data_root} are bad, more than max_bad={max_bad:g} allows: '
            f'{named}{more}. {_remedy(data_root, bad, stored)}, or raise max_bad to train without them.'
        )
    lines = '\n'.join(f'  {video_id}: {reason}' for video_id, reason in bad.items())
    print_log(
        f'{len(bad)} of {len(entries)} videos of {data_root} are bad and dropped:\n{lines}\n'
        f'{_remedy(data_root, bad, stored)}.',
        logger='current',
        level=logging.WARNING,
    )
    return bad


def find_bad(
    data_root: str | Path, entries: Sequence[dict], shards: FrameShards, stored: Mapping[str, StoredVideo]
) -> dict[str, str]:
    """Check videos; see :func:`verify_videos`.

    Returns:
        Reason by id, in the order of ``entries``.
    """

    def damage(entry: dict) -> str | None:
        video = stored.get(entry['video_id'])
        return frames_damage(data_root, entry['frames']) if video is None else stored_damage(shards, video)

    with ThreadPoolExecutor(_THREADS) as pool:
        found = zip(entries, pool.map(damage, entries), strict=True)
        return {entry['video_id']: reason for entry, reason in found if reason is not None}


def damaged_videos(data_root: str | Path) -> dict[str, str]:
    """Check everything that is in the store of a folder.

    Returns:
        Reason by id of the videos whose bytes do not have the checksum that they were written with.

    Raises:
        ValueError: See :func:`~uscl_plugin.datasets.media.frame_store.read_index`.
    """
    index = read_index(data_root)
    if index is None:
        return {}
    shards = FrameShards(data_root, [name for name, _ in index.shards])
    return find_bad(data_root, [{'video_id': video_id} for video_id in index.videos], shards, index.videos)


def _remedy(data_root: str | Path, bad: Mapping[str, str], stored: Mapping[str, StoredVideo]) -> str:
    remedies = []
    if any(video_id in stored for video_id in bad):
        store = Path(data_root, STORE)
        tool = f'tools/dataset_converters/pack_frames.py {data_root}'
        remedies.append(f'where its image files are there, delete {store} and run {tool}')
    if any(video_id not in stored for video_id in bad):
        remedies.append('delete the folders of damaged frames and run the converter again')
    return f'Copy the data again, or {", and ".join(remedies)}'
