"""The pretraining data set: one item is one video, a cluster of frames that mean the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from uscl.core.sample_seed import SampleSeeder
from uscl.data.annotations import read_annotations
from uscl.data.frame_range import frames_in_range
from uscl.data.frame_shards import FrameShards, frames_at
from uscl.data.frame_store import find_stored
from uscl.data.labels import class_indices
from uscl.data.selection import hide_labels, select_split
from uscl.data.subsets import stratified_subset

from .sample_errors import name_video
from .verification import verify_videos


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

    Videos are verified when the data set is built: the bytes of stored ones by their checksums, the image files of
    others as :mod:`~uscl.data.frame_files` can. Bad ones are dropped, after all choices, so that the others
    and their labels are chosen as if these were sound, and nothing takes their place; ``bad_videos`` holds the reason
    of each by id. An error of a later sample stops the run.

    Args:
        data_root: The folder that a converter wrote.
        ann_file: The annotation file, relative to ``data_root`` (see :mod:`uscl.data.annotations`).
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
        verify: Verify the videos that are left by the choices above; ``'local'`` takes no notice of the other processes
            of a distributed run, which must otherwise build the same data set, since all drop what any has found bad.
        max_bad: Share of these videos that may be bad, in [0, 1]. At 1 %, one in a thousand is lost with a warning, and
            one in twenty, or any in fewer than a hundred, is an error.
        filter_cfg: ``dict(labels=[…])`` keeps the videos with one of these annotation labels.
        pipeline: The transforms.
        **kwargs: Those of :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        FileNotFoundError: No annotation file, or frames of more videos than ``max_bad`` are gone.
        ValueError: The annotation or the store is damaged or of another version, more videos than ``max_bad`` are bad,
            or a setting does not fit.

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
        verify: bool | str = True,
        max_bad: float = 0.01,
        filter_cfg: dict | None = None,
        pipeline: Sequence = (),
        **kwargs: Any,
    ) -> None:
        shares = {'label_fraction': label_fraction, 'data_fraction': data_fraction, 'max_bad': max_bad}
        for name, fraction in shares.items():
            if not 0 <= fraction <= 1:
                raise ValueError(f'{name} should be in [0, 1] (0.01 is 1 %), got {fraction}.')
        if verify not in (True, False, 'local'):
            raise ValueError(f"verify should be True, False or 'local', got {verify!r}.")
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
        self.verify = verify
        self.max_bad = max_bad
        self.bad_videos: dict[str, str] = {}
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
        self._shards, stored = (
            find_stored(self.data_root, entries) if self.frame_store else (FrameShards(self.data_root, []), {})
        )
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
            video = stored.get(entry['video_id'])
            data_list.append(
                dict(
                    frames=[entry['frames'][i] for i in part],
                    stored=None if video is None else frames_at(video.place, part.start, len(part)),
                    video_id=entry['video_id'],
                    patient_id=entry['patient_id'],
                    gt_label=-1 if label is None else to_index[label],
                )
            )
        hide_labels(data_list, self.label_fraction, self.seed)
        if not self.keep_unlabelled:
            data_list = [item for item in data_list if item['gt_label'] >= 0]
        if self.verify:
            used = {item['video_id'] for item in data_list}
            entries = [entry for entry in entries if entry['video_id'] in used]
            agree = self.verify != 'local'
            self.bad_videos = verify_videos(self.data_root, entries, self._shards, stored, self.max_bad, agree)
            data_list = [item for item in data_list if item['video_id'] not in self.bad_videos]
        if not data_list:
            self.serialize_data = False  # MMEngine cannot serialise an empty list
        return data_list

    def _select(self, entries: list[dict]) -> list[dict]:
        return self._select_labels(select_split(entries, self.split, self.ann_file))

    def _select_labels(self, entries: list[dict]) -> list[dict]:
        labels = (self.filter_cfg or {}).get('labels')
        chosen = [entry for entry in entries if labels is None or entry['label'] in labels]
        if not chosen:
            raise ValueError(f'{self.ann_file}: no video with split={self.split!r} and filter_cfg={self.filter_cfg}.')
        return chosen

    def get_data_info(self, idx: int) -> dict:
        """An annotation with full paths; see :meth:`mmengine.dataset.BaseDataset.get_data_info`."""
        return self._with_paths(super().get_data_info(idx))

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on one item under its own seed.

        Raises:
            ValueError: The pipeline gives None: MMEngine would take a sample of another video then.
            Exception: Any error of reading or of a transform, with the video added to its message.
        """
        info = super().get_data_info(idx)
        try:
            item = self._item(info)
            if self.test_mode:  # nothing is drawn
                sample = self.pipeline(item)
            else:
                with self._seeder(self.sample_key(item), len(self)):
                    sample = self.pipeline(item)
        except Exception as error:
            name_video(error, info['video_id'], self._source(info))
            raise
        if sample is None:
            steps = ', '.join(type(step).__name__ for step in self.pipeline.transforms)
            raise ValueError(
                f'video {info["video_id"]!r} from {self._source(info)} came out of the pipeline ({steps}) as None, '
                f'and no other takes its place: let the transform raise an error that says what is wrong.'
            )
        return sample

    def _item(self, info: dict) -> dict:
        """What enters the pipeline: as :meth:`get_data_info`, but for frames from the store."""
        if info['stored'] is None:
            return self._with_paths(info)
        return info | {'frames': self._shards.read(*info['stored'])}  # nobody needs paths

    def _with_paths(self, info: dict) -> dict:
        return info | {'frames': [str(Path(self.data_root, frame)) for frame in info['frames']]}

    def _source(self, info: dict) -> Path:
        """The file or folder that the frames of an item are in."""
        if info['stored'] is not None:
            return self._shards.path(info['stored'][0])
        return Path(self.data_root, info['frames'][0]).parent

    def sample_key(self, info: dict) -> str:
        """What the draws of an item depend on, besides run seed and epoch."""
        return f'{info["video_id"]}#{info["draw"]}' if info['draw'] else info['video_id']
