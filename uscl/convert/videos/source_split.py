"""Assign splits to the videos of a source."""

from collections.abc import Sequence
from dataclasses import replace

from uscl.clips.video_source import VideoSource
from uscl.core.errors import SourceError
from uscl.data.video_split import split_videos


def split_sources(sources: Sequence[VideoSource], val_fraction: float, seed: int) -> list[VideoSource]:
    """Assign every video to 'train' or 'val', see :func:`uscl.data.video_split.split_videos`.

    Raises:
        SourceError: The index already has splits.
    """
    if any(source.split is not None for source in sources):
        raise SourceError('the index already has a split column: drop --val-fraction, or remove the column.')
    readable = [source for source in sources if source.problem is None]
    classes = {source.video_id: source.label for source in readable}
    patients = {source.video_id: source.patient_id for source in readable}
    splits = split_videos(classes, val_fraction, seed, patients)
    return [replace(source, split=splits.get(source.video_id)) for source in sources]
