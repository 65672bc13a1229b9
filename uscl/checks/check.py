"""Run all checks on one or more data folders."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uscl.core.loose_names import look_alikes
from uscl.data.annotations import read_annotations
from uscl.data.folds import Folds, read_folds
from uscl.data.patient_division import unknown_patients

from .clip_facts import Clip, read_clips
from .confounding import check_confounding
from .duplicates import THRESHOLD, Duplicate, find_duplicates
from .finding import ERROR, NOTE, SEVERITIES, WARNING, Finding
from .quality import check_quality
from .sides import Division, divisions_of, leaks_by_id, parted_by, shared_ids

SUSPECTS = 'suspect copies'  # the kind of pairs that only a look can decide about
_SAID = {
    'same source': 'the same file',
    'equal frames': 'equal frames',
    'near-equal': 'the same pictures',
    'mirrored': 'mirror images',
}


@dataclass(frozen=True)
class CheckResult:
    """The checked clips and the findings.

    Attributes:
        clips: All clips.
        duplicates: All pairs of copies. Their findings come first in ``findings``, in the same order.
        findings: Errors, then warnings, then notes.
        duplicate_findings: The finding for each of ``duplicates``.
    """

    clips: list[Clip]
    duplicates: list[Duplicate]
    findings: list[Finding]
    duplicate_findings: list[Finding]

    def count(self, severity: str) -> int:
        """Number of findings with a given severity."""
        return sum(finding.severity == severity for finding in self.findings)


def check_datasets(
    folders: Sequence[str | Path],
    folds: str | Path | None = None,
    threshold: float = THRESHOLD,
    progress: Callable[[Iterator[Clip], int], Iterator[Clip]] = lambda clips, total: clips,
) -> CheckResult:
    """Check data folders, each on its own and each against the others.

    Args:
        folders: Folders written by a converter.
        folds: A folds file for one of them.
        threshold: Smallest similarity of a suspect; copies have at least :data:`.duplicates.CERTAIN`.
        progress: Wraps the iterator over clips; receives their number.

    Raises:
        FileNotFoundError: The annotation, frames or folds are missing.
        ValueError: One of them is damaged, a folder is given twice, or the folds belong to other data.
    """
    names = [str(folder) for folder in folders]
    real = [Path(name).expanduser().resolve() for name in names]
    if twice := next((name for name, path in zip(names, real, strict=True) if real.count(path) > 1), None):
        raise ValueError(f'{twice} is given twice, so each clip would be a copy of itself: give it once.')
    annotations = {name: read_annotations(path / 'annotations.json') for name, path in zip(names, real, strict=True)}
    entries = {name: content['data_list'] for name, content in annotations.items()}
    divisions = _divisions(annotations, folds)
    clips = list(progress((c for name in names for c in read_clips(name)), sum(map(len, entries.values()))))
    duplicates = find_duplicates(clips, threshold)
    of_pairs = [_describe(pair, clips, divisions) for pair in duplicates]
    findings = list(of_pairs)
    for name in names:
        findings += leaks_by_id(name, entries[name], divisions[name])
        if annotations[name]['metainfo'].get('grouping') == 'unknown':
            text = 'which frames share a video or patient is unknown, so leaks by id cannot be detected'
            findings.append(Finding(NOTE, 'grouping unknown', text, name))
        labels, patients = ([entry[key] for entry in entries[name]] for key in ('label', 'patient_id'))
        if annotations[name]['metainfo'].get('grouping') != 'unknown':
            unknown = unknown_patients(patients)
            findings += [Finding(WARNING, 'patients unknown', text.rstrip('.'), name) for text in unknown]
        alike = look_alikes(labels, patients)
        findings += [Finding(WARNING, 'names alike', text.rstrip('.'), name) for text in alike]
        members = [clip for clip in clips if clip.data == name]
        findings += check_quality(name, members, annotations[name]['metainfo']['classes'])
        findings += check_confounding(name, members)
    findings += shared_ids(entries)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return CheckResult(clips, duplicates, findings, of_pairs)


def _divisions(annotations: Mapping[str, Mapping], folds: str | Path | None) -> dict[str, list[Division]]:
    given = None if folds is None else read_folds(folds)
    target = None if given is None else _folder_of(given, annotations)
    return {
        name: divisions_of(content['data_list'], content['metainfo'], given if name == target else None, str(folds))
        for name, content in annotations.items()
    }


def _folder_of(folds: Folds, annotations: Mapping[str, Mapping]) -> str:
    """The data folder that has most of the ids in the folds; any missing id is reported later as an error."""
    items = {item for fold in folds.folds for members in fold.values() for item in members}

    def known(name: str) -> int:
        return len(items & {entry['video_id'] for entry in annotations[name]['data_list']})

    return max(annotations, key=known)


def _describe(pair: Duplicate, clips: Sequence[Clip], divisions: Mapping[str, Sequence[Division]]) -> Finding:
    first, second = clips[pair.first], clips[pair.second]
    leak, why = parted_by(first, second, divisions)
    said = f'{_SAID[pair.kind]}, {why}'
    kind = f'{pair.kind} clips' if pair.kind != 'same source' else 'same file twice'
    return Finding(
        ERROR if leak and pair.is_certain else WARNING,
        kind if pair.is_certain else SUSPECTS,
        said if pair.is_certain else f'perhaps {said}',
        first.data if first.data == second.data else '',
        f'{first.name} and {second.name}',
        f'similarity {pair.similarity:.2f}' if pair.kind in ('near-equal', 'mirrored') else '',
        ((first.data, first.video_id), (second.data, second.video_id)),
        round(pair.similarity, 4),
    )
