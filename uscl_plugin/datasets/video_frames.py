"""The downstream dataset: each item is one frame, with its video and patient."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmpretrain.registry import DATASETS

from uscl.data.folds import check_folds, read_folds
from uscl.data.frame_ids import frame_id
from uscl.data.frame_shards import single_places

from .stored_videos import StoredVideoDataset


@DATASETS.register_module()
class VideoFrameDataset(StoredVideoDataset):
    """Labelled frames of videos, for classification.

    An item starts as a dict with ``img`` (the stored frame, for ``LoadFrame``), ``frame`` and ``img_path`` (its name,
    see :func:`~uscl.data.frame_ids.frame_id`), ``gt_label``, ``video_id``, ``patient_id`` (None if unknown) and
    ``split`` (the side it is on), which then goes through the pipeline with its own seed. Unlabelled frames are left
    out.

    Args:
        fold: Index of the fold in ``fold_file``, from 0; None takes ``split`` from the annotation's own splits.
        fold_file: Folds file written by ``tools/evaluate.py``; relative to ``data_root`` unless absolute.
        frames_per_video: Maximum number of frames per video, evenly spaced in time.
        keep_unlabelled: Keep unlabelled frames, with label -1.
        *args: Positional arguments of :class:`StoredVideoDataset`.
        **kwargs: Its keyword arguments.

    Raises:
        FileNotFoundError: The annotation, the store or the folds are missing.
        ValueError: A setting does not fit the annotation, or no labelled frame remains.
    """

    METAINFO: ClassVar[dict] = {'dataset_type': 'VideoFrames', 'task_name': 'classification'}

    def __init__(
        self,
        *args: Any,
        fold: int | None = None,
        fold_file: str = 'folds.json',
        frames_per_video: int | None = None,
        keep_unlabelled: bool = False,
        **kwargs: Any,
    ) -> None:
        if frames_per_video is not None and frames_per_video < 1:
            raise ValueError(f'frames_per_video should be at least 1, or None for all frames, got {frames_per_video}.')
        self.fold = fold
        self.fold_file = fold_file
        self.frames_per_video = frames_per_video
        super().__init__(*args, **kwargs | {'keep_unlabelled': keep_unlabelled})

    def load_data_list(self) -> list[dict]:
        """Read the annotation and list the frames of the selected sides."""
        self._side: dict[str, str] = {}
        frames = []
        for video in self.load_videos():
            shared = {key: video[key] for key in ('video_id', 'patient_id', 'gt_label', 'stored', 'number')}
            places = [place for whole in video['places'] for place in single_places(whole)]
            for k in spread_evenly(video['num_frames'], self.frames_per_video):
                name = frame_id(video['video_id'], video['first'] + k)
                place = {'frame': name, 'img_path': name, 'places': (places[k],)}
                frames.append({'split': self._side.get(video['video_id']), **place, **shared})
        if not frames:
            raise ValueError(f'{self.ann_file}: no labelled frame with fold={self.fold} and split={self.split!r}.')
        return frames

    def select(self, entries: list[dict]) -> list[dict]:
        """Select by fold, otherwise by the annotation's own splits."""
        wanted = [self.split] if isinstance(self.split, str) else self.split
        if self.fold is not None:
            folds = read_folds(Path(self.data_root, self.fold_file))
            check_folds(folds, entries, needed=('train',))  # a final model is tested on nothing
            sides = folds.sides(self.fold)
        else:
            sides = {entry['video_id']: entry['split'] for entry in entries if entry['split'] is not None}
        if wanted is None:
            return entries
        if missing := set(wanted) - set(sides.values()):
            known = ', '.join(sorted(set(sides.values()))) or 'no split'
            what = f'no video is in {", ".join(sorted(missing))} with fold={self.fold}, only in {known}'
            raise ValueError(f'{self.ann_file}: {what}: set split to one of these, or to None.')
        self._side = {name: side for name, side in sides.items() if side in wanted}
        return [entry for entry in entries if entry['video_id'] in self._side]

    def item(self, info: dict) -> dict:
        """The stored frame."""
        return info | {'img': self.frames(info)[0]}

    def sample_key(self, info: dict) -> str:
        """Every frame has its own draws."""
        return info['frame']


def spread_evenly(n: int, count: int | None) -> list[int]:
    """Indices of at most ``count`` of ``n`` frames, at the centres of equal parts of the time; None: all.

    >>> spread_evenly(10, 3), spread_evenly(2, 3)
    ([1, 5, 8], [0, 1])
    """
    if count is None or count >= n:
        return list(range(n))
    return ((np.arange(count) + 0.5) * n / count).astype(int).tolist()
