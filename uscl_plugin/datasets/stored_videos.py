"""Common base of the datasets of videos and of frames."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmpretrain.datasets import BaseDataset

from uscl.core.sample_seed import SampleSeeder
from uscl.data.annotations import frame_rate, read_annotations
from uscl.data.folder_digest import data_digest
from uscl.data.frame_range import frames_in_range
from uscl.data.frame_store import StoredVideo, find_stored, stored_damage
from uscl.data.labels import class_indices
from uscl.data.selection import hide_labels, stratified_subset

from .pipeline_settings import apply_steps

# Keys that do not describe the samples: datasets that differ in them can be concatenated.
_OF_THE_FOLDER = ('settings', 'folds')


class StoredVideoDataset(BaseDataset):
    """A data folder as an MMPretrain dataset; selection, labels, seeding and reading are from :mod:`uscl.data`.

    The global generators are seeded from (run seed, epoch, item, occurrence) around the pipeline of each item and
    restored afterwards, so neither the number of workers nor resuming a run changes any draw; ``SampleSeedHook`` sets
    run seed and epoch, and how often the item has already come in the epoch. Frames are read from the folder's store,
    which all workers map into memory.

    The bytes of a video are verified against their checksum when it is first read, by the process that reads it, once
    for all processes. Starting therefore costs nothing, and corrupted data are never trained on.

    Args:
        data_root: Folder written by a converter.
        ann_file: The annotation file, relative to ``data_root`` (see :mod:`uscl.data.annotations`).
        split: Keep only this split, such as ``'train'``, or several; None keeps all.
        classes: Class names in index order; None takes the annotation's, or those of ``label_map``.
        label_map: Annotation label → class index or class name; several labels may share a class. None: each label is
            its own class.
        label_fraction: Fraction of the labelled videos that keep their label, in [0, 1], chosen per class (at least one
            each), seeded and nested (1 % ⊂ 10 %). The others are used without a label.
        data_fraction: Fraction of the videos that are kept at all, chosen in the same way, before ``label_fraction``.
        seed: Seed of both choices, and run seed until a hook sets another.
        frame_range: ``(start, end)``: keep the frames in this part of each video, as fractions of its length, so that
            the others stay unseen.
        keep_unlabelled: Keep unlabelled items (after ``label_fraction``), with label -1.
        verify: Verify checksums.
        filter_cfg: ``dict(labels=[…])`` keeps only videos with one of these annotation labels.
        pipeline: The transforms.
        steps: Changes to the transforms by type, ``dict(MixFrames=dict(alpha=1.0))``, so that no position is needed;
            see :func:`~uscl_plugin.datasets.pipeline_settings.apply_steps`.
        **kwargs: Arguments of :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        FileNotFoundError: The annotation or the store is missing.
        ValueError: The annotation or the store is damaged or has another version, or a setting does not fit; for an
            item: its bytes differ from those that were converted.
    """

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
        keep_unlabelled: bool = True,
        verify: bool = True,
        filter_cfg: dict | None = None,
        pipeline: Sequence = (),
        steps: Mapping[str, Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        for name, fraction in {'label_fraction': label_fraction, 'data_fraction': data_fraction}.items():
            if not 0 <= fraction <= 1:
                raise ValueError(f'{name} should be in [0, 1] (0.01 is 1 %), got {fraction}.')
        self.split = split
        self.label_map = None if label_map is None else dict(label_map)
        self.label_fraction = label_fraction
        self.data_fraction = data_fraction
        self.seed = seed
        self.frame_range = frame_range
        self.keep_unlabelled = keep_unlabelled
        self.verify = verify
        self._seeder = SampleSeeder(seed)
        super().__init__(
            ann_file=ann_file,
            data_root=str(Path(data_root).expanduser()),
            classes=classes,
            filter_cfg=filter_cfg,
            pipeline=apply_steps(pipeline, steps),
            **kwargs,
        )

    @abstractmethod
    def select(self, entries: list[dict]) -> list[dict]:
        """The annotation entries selected by ``split``."""

    @abstractmethod
    def sample_key(self, info: dict) -> str:
        """What the draws of an item depend on, besides run seed and epoch."""

    @abstractmethod
    def item(self, info: dict) -> dict:
        """Input of the pipeline: ``info`` with the frames."""

    def set_epoch(self, epoch: int, run_seed: int | None = None, num_epochs: int = 0) -> None:
        """Set the epoch for the following draws, in this process and its workers; 0 epochs: not in a run."""
        self._seeder.set(self.seed if run_seed is None else run_seed, epoch, num_epochs)

    def set_occurrence(self, occurrence: int) -> None:
        """Set how often the next item has already come in this epoch, in this process only."""
        self._seeder.occurrence = occurrence

    def load_videos(self) -> list[dict]:
        """Apply split, filter, both fractions, the choice of labels and the frame range.

        Returns:
            Dicts with ``video_id``, ``patient_id`` (None if unknown), ``gt_label`` (-1 if none), ``fps`` (None if
            unknown), ``first`` (index of the first frame), ``num_frames``, ``places`` (of the frames in the store),
            ``stored`` (of the whole video: shard, offset, shapes, checksum) and ``number`` (of the video).
        """
        annotations = read_annotations(self.ann_file)
        for entry in annotations['data_list']:
            del entry['signature']  # half of the memory, and not needed here
        entries = self._with_labels(self.select(annotations['data_list']))
        to_index, self._metainfo['classes'] = class_indices(
            annotations['metainfo']['classes'], self._metainfo.get('classes'), self.label_map
        )
        for key, value in annotations['metainfo'].items():
            if key not in _OF_THE_FOLDER:
                self._metainfo.setdefault(key, value)
        ids, labels = ([entry[key] for entry in entries] for key in ('video_id', 'label'))
        entries = [entries[i] for i in stratified_subset(ids, labels, self.data_fraction, self.seed)]
        self._shards, stored = find_stored(self.data_root, entries, with_facts=False)
        videos = [self._info(entry, to_index, stored[entry['video_id']]) for entry in entries]
        hide_labels(videos, self.label_fraction, self.seed)
        if not self.keep_unlabelled:
            videos = [video for video in videos if video['gt_label'] >= 0]
        self._shards.open(sorted({video['stored'][0] for video in videos}))
        self._verified = torch.zeros(len(videos), dtype=torch.uint8).share_memory_()  # shared by all workers
        if not videos:
            self.serialize_data = False  # MMEngine cannot serialise an empty list
        return [video | {'number': number} for number, video in enumerate(videos)]

    def _with_labels(self, entries: list[dict]) -> list[dict]:
        labels = (self.filter_cfg or {}).get('labels')
        chosen = [entry for entry in entries if labels is None or entry['label'] in labels]
        if not chosen:
            raise ValueError(f'{self.ann_file}: no video with split={self.split!r} and filter_cfg={self.filter_cfg}.')
        return chosen

    def _info(self, entry: dict, to_index: dict[str, int], stored: StoredVideo) -> dict:
        label = entry['label']
        if label is not None and label not in to_index:
            what = f'video {entry["video_id"]!r} has the label {label!r}, which is not among {sorted(to_index)}'
            remedy = 'add it to label_map or classes, or exclude such videos with filter_cfg=dict(labels=[…])'
            raise ValueError(f'{self.ann_file}: {what}: {remedy}.')
        part = frames_in_range(entry['num_frames'], self.frame_range)
        return {
            'video_id': entry['video_id'],
            'patient_id': entry['patient_id'],
            'gt_label': -1 if label is None else to_index[label],
            'fps': frame_rate(entry),
            'first': part.start,
            'num_frames': len(part),
            'places': stored.places(part.start, len(part)),
            'stored': (stored.shard, stored.offset, stored.shapes, stored.crc32),
        }

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on one item with its own seed.

        Raises:
            ValueError: The pipeline returned None, which MMEngine would silently replace with another sample.
            Exception: Any error in reading or in a transform, with the video added to its message.
        """
        info = self.get_data_info(idx)
        try:
            self._check(info)
            item = self.item(info) | {'progress': self._seeder.progress}
            if self.test_mode:  # there are no random draws
                sample = self.pipeline(item)
            else:
                with self._seeder(self.sample_key(info), len(self)):
                    sample = self.pipeline(item)
        except Exception as error:
            _name_video(error, info['video_id'], self._shards.path(info['stored'][0]))
            raise
        if sample is None:
            steps = ', '.join(type(step).__name__ for step in self.pipeline.transforms)
            what = f'the pipeline ({steps}) returned None for video {info["video_id"]!r}'
            raise ValueError(f'{what}: raise an error in the transform that returns None.')
        return sample

    def provenance(self) -> dict[str, Any]:
        """Data facts for checkpoints: ``settings`` of the conversion, ``data_digest``, ``entries`` of the annotation.

        The entries are those of the selected videos.
        """
        annotations = read_annotations(self.ann_file)
        chosen = {self.get_data_info(index)['video_id'] for index in range(len(self))}
        return {
            'settings': annotations['metainfo'].get('settings'),
            'data_digest': data_digest(self.data_root, self.ann_file),
            'entries': [entry for entry in annotations['data_list'] if entry['video_id'] in chosen],
        }

    def frames(self, info: dict) -> Any:
        """The stored frames of an item, see :meth:`~uscl.data.frame_shards.FrameShards.frames`."""
        return self._shards.frames(info['places'])

    def _check(self, info: dict) -> None:
        """Verify the video's checksum, unless a process of this dataset has already done so."""
        if not self.verify or self._verified[info['number']]:
            return
        damage = stored_damage(self._shards, info['video_id'], StoredVideo(*info['stored']))
        if damage is not None:
            raise ValueError(f'{damage}: run the converter again to redo this video, or copy the folder again.')
        self._verified[info['number']] = 1


def _name_video(error: Exception, video_id: str, source: Path) -> None:
    """Add to an error which video was read and from where, keeping its type."""
    note = f'while video {video_id!r} was prepared from {source}'
    if hasattr(error, 'add_note'):
        error.add_note(note)
    else:
        _extend_message(error, note)


def _extend_message(error: Exception, note: str) -> None:
    """Replacement for ``add_note``, before Python 3.11."""
    if isinstance(error, OSError) and error.strerror:  # its text does not come from `args`
        error.strerror = f'{error.strerror} ({note})'
    else:
        error.args = (f'{error.args[0]} ({note})' if error.args else note, *error.args[1:])
