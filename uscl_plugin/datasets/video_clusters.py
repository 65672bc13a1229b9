"""The pretraining dataset: each item is one video, a cluster of semantically similar frames."""

from typing import Any, ClassVar

from mmpretrain.registry import DATASETS

from uscl.data.selection import select_split

from .stored_videos import StoredVideoDataset


@DATASETS.register_module()
class VideoClusterDataset(StoredVideoDataset):
    """Videos as semantic clusters of frames.

    An item starts as a dict with ``frames`` (in time order: a read-only array (T, H, W) or (T, H, W, 3) uint8, BGR; or
    a list of such frames if their sizes differ), ``fps`` (their rate, None if unknown), ``video_id``, ``patient_id``
    (None if unknown), ``gt_label`` (-1 if unlabelled) and ``progress`` (completed fraction of the run's epochs, None
    outside of a run), which then goes through the pipeline.

    Args:
        samples_per_video: Items per epoch from each video, each with its own draws. With 1, as in the paper, no two
            pairs of an epoch share a video, so frames of one video are never negatives of each other.
        *args: Positional arguments of :class:`StoredVideoDataset`.
        **kwargs: Its keyword arguments.
    """

    METAINFO: ClassVar[dict] = {'dataset_type': 'VideoClusters', 'task_name': 'pretraining'}

    def __init__(self, *args: Any, samples_per_video: int = 1, **kwargs: Any) -> None:
        if samples_per_video < 1:
            raise ValueError(f'samples_per_video should be at least 1, got {samples_per_video}.')
        self.samples_per_video = samples_per_video
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotation, and list every video as often as it occurs in an epoch."""
        videos = self.load_videos()
        if not videos and not self.keep_unlabelled:
            raise ValueError(f'{self.ann_file}: no video has a label, with label_fraction={self.label_fraction}.')
        return [video | {'draw': draw} for draw in range(self.samples_per_video) for video in videos]

    def select(self, entries: list[dict]) -> list[dict]:
        """Select by the annotation's own splits."""
        return select_split(entries, self.split, self.ann_file)

    def item(self, info: dict) -> dict:
        """All frames in the range."""
        return info | {'frames': self.frames(info)}

    def sample_key(self, info: dict) -> str:
        """The video, and which of its draws in the epoch this is."""
        return f'{info["video_id"]}#{info["draw"]}' if info['draw'] else info['video_id']
