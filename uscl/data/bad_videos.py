"""Find the videos whose frames are gone or damaged."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .frame_files import GONE, frames_damage
from .frame_shards import STORE, FrameShards
from .frame_store import StoredVideo, read_index, stored_damage

_THREADS = 8  # which mostly wait for the disk or the network; checksums release the interpreter's lock
_NAMED = 3  # videos that an error names


def find_bad(
    data_root: str | Path, entries: Sequence[dict], shards: FrameShards, stored: Mapping[str, StoredVideo]
) -> dict[str, str]:
    """Check videos; stored ones by their checksum, image files to their end.

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
        ValueError: See :func:`~uscl.data.frame_store.read_index`.
    """
    index = read_index(data_root)
    if index is None:
        return {}
    shards = FrameShards(data_root, [name for name, _ in index.shards])
    return find_bad(data_root, [{'video_id': video_id} for video_id in index.videos], shards, index.videos)


def judge(
    data_root: str | Path,
    entries: Sequence[dict],
    bad: Mapping[str, str],
    stored: Mapping[str, StoredVideo],
    max_bad: float,
) -> str:
    """Refuse a data folder of which too much is bad.

    Args:
        data_root: The data folder.
        entries: The videos that were checked.
        bad: Reason by id of the bad ones, at least one.
        stored: The videos that are read from the store, by id.
        max_bad: Share of the videos that may be bad, in [0, 1].

    Returns:
        What is dropped and why, for a log, if it is no more than that.

    Raises:
        FileNotFoundError: More are bad than may be, all because files are gone.
        ValueError: More are bad than may be, or all are.
    """
    if len(bad) > max_bad * len(entries) or len(bad) == len(entries):
        named = '; '.join(f'{video_id!r}: {reason}' for video_id, reason in list(bad.items())[:_NAMED])
        more = f'; and {len(bad) - _NAMED} more' if len(bad) > _NAMED else ''
        kind = FileNotFoundError if all(GONE in reason for reason in bad.values()) else ValueError
        raise kind(
            f'{len(bad)} of {len(entries)} videos of {data_root} are bad, more than max_bad={max_bad:g} allows: '
            f'{named}{more}. {_remedy(data_root, bad, stored)}, or raise max_bad to train without them.'
        )
    lines = '\n'.join(f'  {video_id}: {reason}' for video_id, reason in bad.items())
    return (
        f'{len(bad)} of {len(entries)} videos of {data_root} are bad and dropped:\n{lines}\n'
        f'{_remedy(data_root, bad, stored)}.'
    )


def _remedy(data_root: str | Path, bad: Mapping[str, str], stored: Mapping[str, StoredVideo]) -> str:
    remedies = []
    if any(video_id in stored for video_id in bad):
        store = Path(data_root, STORE)
        tool = f'tools/dataset_converters/pack_frames.py {data_root}'
        remedies.append(f'where its image files are there, delete {store} and run {tool}')
    if any(video_id not in stored for video_id in bad):
        remedies.append('delete the folders of damaged frames and run the converter again')
    return f'Copy the data again, or {", and ".join(remedies)}'
