"""Which of the frames in a report a network was trained on; judged by content, wherever the data are."""

from functools import reduce
from operator import or_
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from uscl.checks.seen_clips import find_seen
from uscl.checks.seen_data import seen_of
from uscl.data.frame_range import frames_in_range
from uscl.data.video_folder import VideoFolder
from uscl_plugin.datasets.frame_set import FrameSet
from uscl_plugin.datasets.pipeline_settings import unwrapped
from uscl_plugin.weights.provenance import seen_by


def seen_frames(cfg: Config, checkpoint: str | Path, found: FrameSet) -> tuple[np.ndarray | None, int | None]:
    """Which frames the network was trained on: the config's part of each training video, and of each copy of one.

    The training videos are those that the checkpoint names, otherwise those of the config's data.

    Args:
        cfg: The config of the run; several data folders are possible.
        checkpoint: The checkpoint.
        found: The frames.

    Returns:
        (N,) bool, None if the training videos are unknown; and the number of videos in the config's data, None if these
        are not available.
    """
    seen, parts = seen_by(checkpoint), _parts(cfg)
    try:
        built = [DATASETS.build({**part, 'pipeline': []}) for part in parts]
    except FileNotFoundError:
        built = []
    number = sum(map(len, built)) or None
    if built and not seen.is_complete:
        seen = reduce(or_, (seen_of(dataset.provenance()['entries'], None) for dataset in built))
    if not seen.is_complete:
        return None, number
    folder = VideoFolder(found.dataset.data_root)
    known = find_seen(folder, [n for n, e in enumerate(folder.entries) if e['video_id'] in found.video_ids], seen)
    trained = {folder.entries[number]['video_id'] for number, sighting in known.items() if sighting.is_certain}
    counts = np.bincount(found.video, minlength=len(found.video_ids)).tolist()
    ranges = [part.get('frame_range', (0.0, 1.0)) for part in parts]
    shown = []
    for video_id, count in zip(found.video_ids, counts, strict=True):
        used = {k for limits in ranges for k in frames_in_range(count, limits)} if video_id in trained else set()
        shown.append([k in used for k in range(count)])
    return np.concatenate(shown), number


def _parts(cfg: Config) -> list[dict]:
    """Settings of the data folders that a config trains on."""
    given = cfg.train_dataloader.dataset
    while 'datasets' not in given and 'dataset' in given:
        given = given['dataset']
    parts = [dict(unwrapped(part)) for part in given.get('datasets', [given])]
    for part in parts:
        part.pop('steps', None)
        part.pop('samples_per_video', None)
    return parts
