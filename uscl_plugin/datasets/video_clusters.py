"""The pretraining data set: one item is one video, a cluster of frames that mean the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from .annotations import read_annotations
from .frame_files import check_files
from .frame_range import frames_in_range
from .labels import class_indices
from .media.frame_store import Place, find_stored, frames_at
from .sample_seed import SampleSeeder
from .subsets import stratified_subset


@DATASETS.register_module()
class VideoClusterDataset(BaseDataset):
    """Videos as semantic clusters of frames.

    An item starts as a dict with ``frames`` (paths in time order), ``video_id``, ``patient_id`` (None: unknown) and
    ``gt_label`` (-1: unlabelled) and then goes through the pipeline. Around the pipeline the global generators are
    seeded from (run seed, epoch, video_id) and restored, so neither the number of workers nor a resumed run changes a
    draw; ``SampleSeedHook`` sets run seed and epoch.

    Where the folder has a frame store, as converters write it, ``frames`` of a video in it are a read-only array (T, H,
    W) or (T, H, W, 3) uint8 in the pipeline, mapped into memory and shared by all workers, and its image files need not
    be there.

    Args:
        data_root: The folder that a converter wrote.
        ann_file: The annotation file, relative to ``data_root`` (see :mod:`uscl_plugin.datasets.annotations`).
        split: Keep only the videos of this split of the annotation, or of several; None keeps all.
        classes: Class names in the order of their indices; None takes the annotation's, or those of ``label_map``.
        label_map: Annotation label → class index or class name; several labels may share a class. None: each label is
            a class of its own.
        label_fraction: Share of the labelled videos that keep their label, in [0, 1], chosen per class (at least one
            of each), seeded, nested (1 % ⊂ 10 %). The others are used without label.
        data_fraction: Share of the videos that are kept at all, chosen likewise, before ``label_fraction``.
        seed: Seed of both choices; the run seed, too, until a hook sets another.
        frame_range: ``(start, end)``: keep the frames of this part of each video, in shares of its length, so that
            the others stay unseen.
        samples_per_video: Items that an epoch has of each video, each with draws of its own. 1, the paper's, is what
            keeps frames of one video from being negatives of each other: no two pairs of an epoch share a video.
        keep_unlabelled: Keep videos without label (after ``label_fraction``), as -1.
        frame_store: Read the store; False reads the image files in any case.
        filter_cfg: ``dict(labels=[…])`` keeps the videos with one of these annotation labels.
        pipeline: The transforms.
        **kwargs: Those of :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        FileNotFoundError: No annotation file, or frames are gone.
        ValueError: The annotation or the store is damaged or of another version, or a setting does not fit.

    Warns:
        UserWarning: A store lacks videos that it should have.
    """

    METAINFO: ClassVar[dict] = {'dataset_type': 'VideoClusters', 'task_name': 'pretraining'}

    def __init__(
        self,
        data_root: str,
        ann_file: str = 'annotations.json',
        split: str | Sequence[str] | None = None,
        classes: str | Sequence[str] | None = None,
        label_map: dict[str, int | str] | None = None,
        label_fraction: float = 1.0,
        data_fraction: float = 1.0,
        seed: int = 0,
        frame_range: tuple[float, float] = (0.0, 1.0),
        samples_per_video: int = 1,
        keep_unlabelled: bool = True,
        frame_store: bool = True,
        filter_cfg: dict | None = None,
        pipeline: Sequence = (),
        **kwargs: Any,
    ) -> None:
        for name, fraction in (('label_fraction', label_fraction), ('data_fraction', data_fraction)):
            if not 0 <= fraction <= 1:
                raise ValueError(f'{name} should be in [0, 1] (0.01 is 1 %), got {fraction}.')
        if samples_per_video < 1:
            raise ValueError(f'samples_per_video should be at least 1, got {samples_per_video}.')
        self.split = split
        self.label_map = None if label_map is None else dict(label_map)
        self.label_fraction = label_fraction
        self.data_fraction = data_fraction
        self.seed = seed
        self.frame_range = frame_range
        self.samples_per_video = samples_per_video
        self.keep_unlabelled = keep_unlabelled
        self.frame_store = frame_store
        self._seeder = SampleSeeder(seed)
        super().__init__(
            ann_file=ann_file,
            data_root=str(Path(data_root).expanduser()),
            classes=classes,
            filter_cfg=filter_cfg,
            pipeline=pipeline,
            **kwargs,
        )

    def set_epoch(self, epoch: int, run_seed: int | None = None) -> None:
        """Say which epoch's draws come next, in this process and in its workers."""
        self._seeder.set(self.seed if run_seed is None else run_seed, epoch)

    def load_data_list(self) -> list[dict]:
        """Read the annotation; list every video as often as an epoch has it."""
        videos = self._load_videos()
        if not videos and not self.keep_unlabelled:
            raise ValueError(f'{self.ann_file}: no video has a label, with label_fraction={self.label_fraction}.')
        return [video | {'draw': draw} for draw in range(self.samples_per_video) for video in videos]

    def _load_videos(self) -> list[dict]:
        """Apply split, filter, both fractions, the choice of the labelled and the frame range."""
        annotations = read_annotations(self.ann_file)
        entries = self._select(annotations['data_list'])
        to_index, self._metainfo['classes'] = class_indices(
            annotations['metainfo']['classes'], self._metainfo.get('classes'), self.label_map
        )
        for key, value in annotations['metainfo'].items():
            self._metainfo.setdefault(key, value)

        kept = stratified_subset(
            [entry['video_id'] for entry in entries],
            [entry['label'] for entry in entries],
            self.data_fraction,
            self.seed,
        )
        entries = [entries[i] for i in kept]
        places: dict[str, Place] = {}
        if self.frame_store:
            self._shards, places = find_stored(self.data_root, entries)
        data_list = []
        for entry in entries:
            label = entry['label']
            if label is not None and label not in to_index:
                raise ValueError(
                    f'{self.ann_file}: video {entry["video_id"]!r} has the label {label!r}, which is not among '
                    f'{sorted(to_index)}: add it to label_map or classes, set label_map=None if the '
                    f'map is for other data, or leave its videos out with filter_cfg=dict(labels=[…]).'
                )
            part = frames_in_range(len(entry['frames']), self.frame_range)
            place = places.get(entry['video_id'])
            data_list.append(
                dict(
                    frames=[entry['frames'][i] for i in part],
                    stored=None if place is None else frames_at(place, part.start, len(part)),
                    video_id=entry['video_id'],
                    patient_id=entry['patient_id'],
                    gt_label=-1 if label is None else to_index[label],
                )
            )
        self._hide_labels(data_list)
        if not self.keep_unlabelled:
            data_list = [video for video in data_list if video['gt_label'] >= 0]
        check_files(self.data_root, [item for item in data_list if item['stored'] is None], self.ann_file)
        if not data_list:
            self.serialize_data = False  # MMEngine cannot serialise an empty list
        return data_list

    def _select(self, entries: list[dict]) -> list[dict]:
        splits = sorted({entry['split'] for entry in entries if entry['split'] is not None})
        wanted = [self.split] if isinstance(self.split, str) else self.split
        if wanted is None:
            return self._select_labels(entries)
        for split in wanted:
            if split not in splits:
                raise ValueError(
                    f'{self.ann_file} has no split {split!r}, only {splits}: set split to one of them, or to None for '
                    f'all videos, or convert with --val-fraction.'
                )
        return self._select_labels([entry for entry in entries if entry['split'] in wanted])

    def _select_labels(self, entries: list[dict]) -> list[dict]:
        labels = (self.filter_cfg or {}).get('labels')
        chosen = [entry for entry in entries if labels is None or entry['label'] in labels]
        if not chosen:
            raise ValueError(f'{self.ann_file}: no video with split={self.split!r} and filter_cfg={self.filter_cfg}.')
        return chosen

    def _hide_labels(self, data_list: list[dict]) -> None:
        labelled = [item for item in data_list if item['gt_label'] >= 0]
        keep = stratified_subset(
            [item['video_id'] for item in labelled],
            [item['gt_label'] for item in labelled],
            self.label_fraction,
            self.seed,
        )
        for i in set(range(len(labelled))) - set(keep):
            labelled[i]['gt_label'] = -1

    def get_data_info(self, idx: int) -> dict:
        """An annotation with full paths; see :meth:`mmengine.dataset.BaseDataset.get_data_info`."""
        info = super().get_data_info(idx)
        info['frames'] = self._full_paths(info['frames'])
        return info

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on one item under its own seed."""
        info = self._item(idx)
        if self.test_mode:  # nothing is drawn
            return self.pipeline(info)
        with self._seeder(self.sample_key(info), len(self)):
            return self.pipeline(info)

    def _item(self, idx: int) -> dict:
        """What enters the pipeline: as :meth:`get_data_info`, but for frames from the store."""
        info = super().get_data_info(idx)
        stored = info['stored']  # then nobody needs paths
        info['frames'] = self._full_paths(info['frames']) if stored is None else self._shards.read(*stored)
        return info

    def _full_paths(self, frames: list[str]) -> list[str]:
        return [str(Path(self.data_root, frame)) for frame in frames]

    def sample_key(self, info: dict) -> str:
        """What the draws of an item depend on, besides run seed and epoch."""
        return f'{info["video_id"]}#{info["draw"]}' if info['draw'] else info['video_id']
