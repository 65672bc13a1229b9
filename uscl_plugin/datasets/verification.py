"""Check every video once, before the first epoch. Bad ones are counted and dropped, never replaced."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.logging import print_log

from uscl.data.bad_videos import find_bad, judge
from uscl.data.frame_store import FrameShards, StoredVideo, names_digest

from .agreement import unite


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
    message = judge(data_root, entries, bad, stored, max_bad)
    print_log(message, logger='current', level=logging.WARNING)
    return bad
