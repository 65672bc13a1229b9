"""The downstream data set: one item is one frame, which knows its video and its patient."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmpretrain.registry import DATASETS

from uscl.data.folds import check_folds, read_folds
from uscl.data.frame_shards import frames_at

from .video_clusters import VideoClusterDataset


@DATASETS.register_module()
class VideoFrameDataset(VideoClusterDataset):
    """Labelled frames of videos, for classification.

    An item starts as a dict with ``img_path``, ``gt_label``, ``video_id``, ``patient_id`` (None: unknown) and ``split``
    (the side it is on), which MMPretrain's ``LoadImageFromFile`` takes, and then goes through the pipeline under its
    own seed (see :class:`VideoClusterDataset`). ``LoadFrame`` in its place takes the frame from the frame store, where
    there is one. Frames without label are left out.

    Args:
        data_root: The folder that a converter wrote.
        ann_file: The annotation file, relative to ``data_root``.
        fold: Number of the fold in ``fold_file``, from 0; None takes ``split`` from the annotation's own splits.
        split: ``'train'``, ``'val'`` or ``'test'``, or several of them; None takes every frame.
        frames_per_video: Take so many frames of each video at most, spread evenly over its time.
        fold_file: Folds as ``tools/evaluate.py`` writes them; relative to ``data_root`` unless it is absolute.
        keep_unlabelled: Keep frames without label, as -1.
        **kwargs: Those of :class:`VideoClusterDataset`.

    Raises:
        FileNotFoundError: The annotation, the folds or frames are gone.
        ValueError: A setting does not fit the annotation, no labelled frame is left, or more videos than ``max_bad``
            are bad.
    """

    METAINFO: ClassVar[dict] = {'dataset_type': 'VideoFrames', 'task_name': 'classification'}

    def __init__(
        self,
        data_root: str,
        ann_file: str = 'annotations.json',
        fold: int | None = None,
        split: str | Sequence[str] | None = None,
        frames_per_video: int | None = None,
        fold_file: str = 'folds.json',
        keep_unlabelled: bool = False,
        **kwargs: Any,
    ) -> None:
        if frames_per_video is not None and frames_per_video < 1:
            raise ValueError(f'frames_per_video should be at least 1, or None for all frames, got {frames_per_video}.')
        self.fold = fold
        self.fold_file = fold_file
        self.frames_per_video = frames_per_video
        if kwargs.get('samples_per_video', 1) != 1:
            raise ValueError('samples_per_video is for VideoClusterDataset: an epoch has every frame once.')
        super().__init__(data_root, ann_file, split, keep_unlabelled=keep_unlabelled, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotation and list the frames of the wanted sides."""
        self._side: dict[str, str] = {}
        frames = []
        for video in self._load_videos():
            shared = {key: video[key] for key in ('video_id', 'patient_id', 'gt_label')}
            shared['split'] = self._side.get(video['video_id'])
            for k in spread_evenly(len(video['frames']), self.frames_per_video):
                stored = video['stored'] and frames_at(video['stored'], k, 1)
                frames.append({'img_path': video['frames'][k], 'stored': stored, **shared})
        if not frames:
            raise ValueError(f'{self.ann_file}: no labelled frame with fold={self.fold} and split={self.split!r}.')
        return frames

    def _select(self, entries: list[dict]) -> list[dict]:
        wanted = [self.split] if isinstance(self.split, str) else self.split
        if self.fold is not None:
            folds = read_folds(Path(self.data_root, self.fold_file))
            check_folds(folds, entries)
            sides = folds.sides(self.fold)
        else:
            sides = {entry['video_id']: entry['split'] for entry in entries if entry['split'] is not None}
        if wanted is not None:
            if missing := set(wanted) - set(sides.values()):
                raise ValueError(
                    f'{self.ann_file}: no video is in {", ".join(sorted(missing))} with fold={self.fold}, only in '
                    f'{", ".join(sorted(set(sides.values()))) or "no split"}: set split to one of these, or to None.'
                )
            self._side = {name: side for name, side in sides.items() if side in wanted}
            entries = [entry for entry in entries if entry['video_id'] in self._side]
        return self._select_labels(entries)

    def _item(self, info: dict) -> dict:
        """As :meth:`get_data_info`, with ``img`` from the store where it is there, for ``LoadFrame``."""
        item = self._with_paths(info)
        if info['stored'] is not None:
            item['img'] = self._shards.read(*info['stored'])[0]
        return item

    def _with_paths(self, info: dict) -> dict:
        return info | {'frame': info['img_path'], 'img_path': str(Path(self.data_root, info['img_path']))}

    def _source(self, info: dict) -> Path:
        if info['stored'] is not None:
            return self._shards.path(info['stored'][0])
        return Path(self.data_root, info['img_path'])

    def sample_key(self, info: dict) -> str:
        """Every frame draws for itself."""
        return info['frame']


def spread_evenly(n: int, count: int | None) -> list[int]:
    """Indices of at most ``count`` of ``n`` frames, in the middle of as many equal parts of the time; None: all.

    >>> spread_evenly(10, 3), spread_evenly(2, 3)
    ([1, 5, 8], [0, 1])
    """
    if count is None or count >= n:
        return list(range(n))
    return ((np.arange(count) + 0.5) * n / count).astype(int).tolist()
