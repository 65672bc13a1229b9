"""Ways in which an evaluation would test on patients that the network has seen; judged by content, not by paths."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uscl.checks.seen_clips import Sighting, find_seen
from uscl.checks.seen_data import Seen, hash_patient
from uscl.convert.privacy.patient_key import read_patient_key
from uscl.core.errors import SourceError
from uscl.core.plurals import counted
from uscl.data.annotations import read_annotations
from uscl.data.folds import group_of
from uscl.data.video_folder import VideoFolder
from uscl.options.evaluation_options import EvaluationOptions
from uscl_plugin.weights.provenance import seen_by

from .backbones import split_spec


@dataclass
class Leaks:
    """What is known about tested patients that were trained on: clauses without capital letter or full stop.

    Attributes:
        certain: Ways in which they were.
        possible: Suspicions, and what cannot be compared.
        unknown: Checkpoints of which not all training data are known.
    """

    certain: list[str] = field(default_factory=list)
    possible: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def find_leaks(options: EvaluationOptions, metainfo: Mapping[str, Any], data: Path) -> Leaks:
    """Look for patients on both sides.

    Args:
        options: Options of the evaluation.
        metainfo: The annotation's ``metainfo``.
        data: The data folder.

    Raises:
        CheckpointError: What a checkpoint says of its training data is damaged.
        ValueError: The data lack patients and videos, and other folds than theirs were requested; or they are damaged.
    """
    leaks = Leaks()
    if metainfo.get('grouping') == 'unknown':
        leak = 'it is unknown which frames share a video or patient, so they may be on both sides'
        if options.folds != 'official':
            raise ValueError(f'{data}: {leak}: use the folds that came with the data, --folds official.')
        leaks.certain.append(leak)
    elif options.folds == 'official':
        leaks.certain.append('the folds came with the data and may not keep patients together')
    elif options.group_by == 'video':
        leaks.certain.append('videos of one patient are on both sides')
    elif equal := equal_clips_leak(data, options.folds):
        leaks.certain.append(equal)
    tested = TestedClips(data, options.folds)
    for path in dict.fromkeys(split_spec(spec)[1] for spec in options.checkpoints):
        if Path(path).is_file():  # any other network has seen nothing
            tested.compare(path, seen_by(path), leaks)
    return leaks


def equal_clips_leak(data: Path, folds: str) -> str:
    """Which labelled clips have the same source file, according to the annotation, and may be on both sides.

    Altered copies are found by ``tools/analysis/check_dataset.py``.

    Args:
        data: The data folder.
        folds: Requested folds: ``'split'`` separates clips by that column, others by patient.
    """
    first: dict[str, tuple[str, str]] = {}
    for entry in read_annotations(data / 'annotations.json')['data_list']:
        part = entry['split'] if folds == 'split' else group_of(entry)
        digest = entry['sha256']
        if entry['label'] is None or part is None or digest is None:
            continue
        video, other = first.setdefault(digest, (entry['video_id'], part))
        if other != part:
            where = f'in {other} and in {part}' if folds == 'split' else f'of {other} and of {part}'
            return f'the clips {video!r} and {entry["video_id"]!r} are the same file, {where}, and may be on both sides'
    return ''


class TestedClips:
    """All clips of the patients that an evaluation tests on.

    Args:
        data: The data folder.
        folds: Requested folds.
    """

    __test__ = False  # for pytest, which takes the name for that of a test

    def __init__(self, data: Path, folds: str) -> None:
        self._folder = VideoFolder(data)
        self._entries = self._folder.entries
        patients = {group_of(entry) for entry in _tested(self._entries, folds)}
        self._numbers = [number for number, entry in enumerate(self._entries) if group_of(entry) in patients]

    def compare(self, name: str, seen: Seen, leaks: Leaks) -> None:
        """Add what a network has seen of these clips and patients.

        Args:
            name: The network, for messages.
            seen: What it was trained on.
            leaks: Receives the findings.

        Raises:
            ValueError: Frames are damaged.
        """
        found = find_seen(self._folder, self._numbers, seen)
        copies = {number: sighting for number, sighting in found.items() if sighting.is_certain}
        suspects = {number: sighting for number, sighting in found.items() if not sighting.is_certain}
        if copies:
            leaks.certain.append(f'{name} was trained on {self._name(copies)} that it would be tested on')
        if suspects:
            leaks.possible.append(f'{name} was perhaps trained on {self._name(suspects)} that it is tested on')
        self._compare_patients(name, seen, {self._entries[number]['patient_id'] for number in copies}, leaks)
        if not seen.is_complete:
            how = 'training data unknown' if seen.is_unknown else 'training data partly unknown'
            leaks.unknown.append(f'{name}: {how}, so it may have seen patients that it is tested on')

    def _name(self, clips: Mapping[int, Sighting]) -> str:
        number, sighting = next(iter(clips.items()))
        entry = self._entries[number]
        patients = counted(len({group_of(self._entries[k]) for k in clips}), 'patient')
        whose = '' if entry['patient_id'] is None else f' of patient {entry["patient_id"]!r}'
        how = f'{sighting.kind}, similarity {sighting.similarity:.2f}' if sighting.similarity < 1 else sighting.kind
        others = ', and others' if len(clips) > 1 else ''
        return f'{counted(len(clips), "clip")} of {patients} ({entry["video_id"]!r}{whose}: {how}{others})'

    def _compare_patients(self, name: str, seen: Seen, found: set[str | None], leaks: Leaks) -> None:
        ids = sorted({self._entries[number]['patient_id'] for number in self._numbers} - found - {None})
        if not seen.patients or not ids:
            return
        try:
            key = read_patient_key()
        except (OSError, RuntimeError, SourceError):
            key = None
        if key is None or set(seen.patients) - {key.key_id}:
            leaks.possible.append(
                f'{name}: patients cannot be compared, as their ids were hashed with the key of another user'
            )
        known = seen.patients.get(key.key_id, frozenset()) if key is not None else frozenset()
        if key is not None and (equal := [each for each in ids if hash_patient(key, each) in known]):
            what = f'{name} was trained on patients with the ids of {counted(len(equal), "tested patient")}'
            leaks.possible.append(f'{what}, such as {equal[0]!r}, who may be the same people')


def _tested(entries: Iterable[Mapping[str, Any]], folds: str) -> Sequence[Mapping[str, Any]]:
    labelled = [entry for entry in entries if entry['label'] is not None]
    if folds != 'split':
        return labelled
    side = 'test' if any(entry['split'] == 'test' for entry in labelled) else 'val'
    return [entry for entry in labelled if entry['split'] == side]
