"""Clips and classes that are of little use for training."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from .clip_facts import Clip
from .finding import NOTE, WARNING, Finding
from .hashing import BLANK_CONTRAST
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
        place = ((data, clip.video_id),)
        count, blank = len(clip.digests), np.flatnonzero(clip.contrast < BLANK_CONTRAST)
        if len(blank):
            which = 'all' if len(blank) == count else f'{len(blank)} of {count} ({few([str(k) for k in blank])})'
            yield Finding(
                WARNING,
                'blank frames',
                f'{data}: {clip.name} has blank frames: {which} are a single shade of grey.',
                place,
            )
        elif count > 1 and len(set(clip.digests)) == 1:
            yield Finding(WARNING, 'still', f'{data}: {clip.name} is a still: its {count} frames are identical.', place)
        if count < MIN_FRAMES:
            frames = '1 frame' if count == 1 else f'{count} frames'
            message = f'{data}: {clip.name} has only {frames}; a positive pair needs {MIN_FRAMES}.'
            yield Finding(WARNING, 'few frames', message, place)
    yield from _check_classes(data, clips, classes)
    lengths = np.array([len(clip.digests) for clip in clips])
    short, long = np.percentile(lengths, [5, 95])
    if long >= UNEVEN * short:
        yield Finding(
            WARNING,
            'uneven lengths',
            f'{data}: videos have {lengths.min()} to {lengths.max()} frames (5th percentile {short:.0f}, 95th '
            f'{long:.0f}): frame-level results favour long videos; set frames_per_video or use video-level results.',
        )


def _check_classes(data: str, clips: Sequence[Clip], classes: Sequence[str]) -> Iterator[Finding]:
    counts = Counter(clip.label for clip in clips)
    for name in classes:
        if not counts[name]:
            yield Finding(WARNING, 'empty class', f'{data}: no video has the class {name!r}.')
    if counts[None]:
        where = 'No video' if counts[None] == len(clips) else f'{counts[None]} of {len(clips)} videos'
        yield Finding(NOTE, 'unlabelled', f'{data}: {where} {"has a" if where == "No video" else "have no"} label.')
