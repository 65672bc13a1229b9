"""Clips and classes that are of little use for training."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from uscl.data.fingerprints import BLANK_CONTRAST

from .clip_facts import Clip
from .finding import NOTE, WARNING, Finding
from .sides import few

MIN_FRAMES = 3  # needed for a positive pair
UNEVEN = 10  # ratio of frames in long videos to frames in short ones


def check_quality(data: str, clips: Sequence[Clip], classes: Sequence[str]) -> Iterator[Finding]:
    """Find blank frames, stills, short clips, classes without videos, and very uneven lengths.

    Args:
        data: The data folder.
        clips: All of its clips.
        classes: Class names in the annotation.
    """
    for clip in clips:
        place, ids = (data, clip.name), ((data, clip.video_id),)
        count, blank = len(clip.digests), np.flatnonzero(clip.contrast < BLANK_CONTRAST)
        frames = '1 frame' if count == 1 else f'{count} frames'
        if len(blank):
            which = 'all' if len(blank) == count else f'{len(blank)} of {count}: {few([str(k) for k in blank])}'
            yield Finding(WARNING, 'blank frames', 'frames of a single shade of grey', *place, which, ids)
        elif count > 1 and len(set(clip.digests)) == 1:
            yield Finding(WARNING, 'still', 'all frames are identical', *place, frames, ids)
        if count < MIN_FRAMES:
            text = f'too short for a positive pair, which needs {MIN_FRAMES} frames'
            yield Finding(WARNING, 'few frames', text, *place, frames, ids)
    yield from _check_classes(data, clips, classes)
    lengths = np.array([len(clip.digests) for clip in clips])
    short, long = np.percentile(lengths, [5, 95])
    if long >= UNEVEN * short:
        yield Finding(
            WARNING,
            'uneven lengths',
            f'videos have {lengths.min()} to {lengths.max()} frames (5th percentile {short:.0f}, 95th {long:.0f}): '
            f'frame-level results favour long videos; set frames_per_video or use video-level results',
            data,
        )


def _check_classes(data: str, clips: Sequence[Clip], classes: Sequence[str]) -> Iterator[Finding]:
    counts = Counter(clip.label for clip in clips)
    for name in classes:
        if not counts[name]:
            yield Finding(WARNING, 'empty class', f'no video has the class {name!r}', data)
    if counts[None]:
        where = 'No video' if counts[None] == len(clips) else f'{counts[None]} of {len(clips)} videos'
        yield Finding(NOTE, 'unlabelled', f'{where} {"has a" if where == "No video" else "have no"} label', data)
