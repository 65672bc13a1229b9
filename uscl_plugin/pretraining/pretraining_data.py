"""The data of a pretraining run: converted if they are clips, with patients held back."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uscl.checks.check import check_datasets
from uscl.checks.finding import ERROR, WARNING
from uscl.clips.discovery import find_sources
from uscl.convert.privacy.privacy_options import PrivacyOptions
from uscl.convert.videos.converter_options import ClipOptions
from uscl.convert.videos.source_split import split_sources
from uscl.convert.videos.store_settings import StoreSettings
from uscl.convert.videos.video_conversion import OVERVIEW, convert_sources
from uscl.core.errors import SourceError
from uscl.core.plurals import counted
from uscl.core.tables import read_csv
from uscl.data.annotations import read_annotations, write_annotations
from uscl.data.frame_shards import STORE
from uscl.data.video_split import split_videos
from uscl.options.pretraining_options import PretrainingOptions
from uscl.reports.check_report import write_check_page
from uscl.reports.overview_page import conversion_overview


@dataclass(frozen=True)
class PretrainingData:
    """A data folder, and which of its videos are trained on.

    Attributes:
        folder: The folder.
        train_split: Split to train on; None for all videos.
        held_out: Split held back; None if no patients are.
        classes: Class names; empty without labels.
        num_train: Videos to train on.
        num_held_out: Videos held back.
        lines: What the user should know about the data, a sentence each.
    """

    folder: Path
    train_split: str | None
    held_out: str | None
    classes: list[str]
    num_train: int
    num_held_out: int
    lines: list[str]

    def can_be_evaluated(self) -> bool:
        """Whether ``uscl evaluate --folds split`` has something to tell apart on both sides."""
        if self.held_out is None:
            return False
        entries = _entries(self.folder)
        sides = [{e['label'] for e in entries if e['split'] == split} - {None} for split in ('train', self.held_out)]
        return len(sides[1]) > 1 and sides[1] <= sides[0]


def is_data_folder(folder: str | Path) -> bool:
    """Whether a converter wrote this folder."""
    return (Path(folder) / 'annotations.json').is_file()


def prepare_data(options: PretrainingOptions, log: Callable[[str], None]) -> PretrainingData:
    """Convert clips unless that was done, and hold patients back unless the data have splits.

    Clips become ``OUT/data``. A folder that a converter wrote is used as it is if it has splits, or if nothing is to be
    held back; else ``OUT/data`` has its annotation with splits, and refers to its frames.

    Args:
        options: Options of the run.
        log: Called with what is being done, before it takes long.

    Returns:
        The data.

    Raises:
        SourceError: No clip could be read, or there are fewer than two videos to train on.
        FileNotFoundError: The folder does not exist.
        ValueError: The data are damaged.
    """
    source, folder = Path(options.clips), Path(options.out) / 'data'
    if not source.is_dir():
        raise FileNotFoundError(f'{source} is not a folder: pass a folder of clips, or one that a converter wrote.')
    if is_data_folder(source):
        folder = _with_splits(source, folder, options)
    else:
        log(f'converting the clips in {source} …')
        _convert(source, folder, options)
    entries = _entries(folder)
    splits = Counter(entry['split'] for entry in entries)
    train_split, held_out = ('train' if splits['train'] else None), None
    if train_split is not None:
        held_out = next((name for name in ('val', 'test') if splits[name] > 1), None)
    used = [entry for entry in entries if train_split is None or entry['split'] == train_split]
    if len(used) < 2:
        raise SourceError(
            f'{source} has {len(used)} video to train on, but a pair needs negatives from other videos: add clips'
            + (', or set --val-fraction 0.' if len(entries) > 1 else '.')
        )
    classes = sorted({entry['label'] for entry in used} - {None})
    return PretrainingData(
        folder, train_split, held_out, classes, len(used), splits[held_out] if held_out else 0,
        _describe(folder, entries, used, held_out, splits, options),
    )  # fmt: skip


def check_data(data: PretrainingData, page: Path) -> list[str]:
    """Look for leaks and copies; write the page, and return a line for the console if something was found.

    Args:
        data: The data.
        page: HTML file to write.
    """
    result = check_datasets([data.folder])
    if not result.findings:
        return []
    write_check_page(result, page)
    # Unknown patients are told above.
    told = [f for f in result.findings if f.severity in (ERROR, WARNING) and f.kind != 'patients unknown']
    if not told:
        return []
    first = told[0].message
    errors = sum(finding.severity == ERROR for finding in told)
    warnings = len(told) - errors
    found = f'{counted(errors, "error")}, {counted(warnings, "warning")}'
    return [f'check: {found}, see {page}. First: {first.removeprefix(f"{data.folder}: ")}']


def _convert(source: Path, folder: Path, options: PretrainingOptions) -> None:
    as_converter = ClipOptions(src=str(source), out=str(folder))
    found = PrivacyOptions().protect(find_sources(source, out=folder), folder)
    if not any(each.split is not None for each in found.sources):
        sources = split_sources(found.sources, options.val_fraction, options.seed)
        if _enough_are_held_back(each.split for each in sources):
            found = replace(found, sources=sources)
    settings = StoreSettings(as_converter.fps, as_converter.size, as_converter.color, None, as_converter.min_frames)
    if convert_sources(found, folder, settings, overview=conversion_overview(str(folder), found)):
        raise SourceError(
            f'none of the clips in {source} could be read: see {folder / "skipped.csv"}, or run '
            f'uscl convert {source} --out {folder} --dry-run.', exit_code=1,
        )  # fmt: skip


def _enough_are_held_back(splits: Iterable[str | None]) -> bool:
    """Whether there are two videos to compare with each other."""
    return sum(split == 'val' for split in splits) > 1


def _with_splits(source: Path, folder: Path, options: PretrainingOptions) -> Path:
    """``source``, or ``folder`` with the same frames and splits."""
    content = read_annotations(source / 'annotations.json')
    entries: Sequence[dict[str, Any]] = content['data_list']
    if not options.val_fraction or any(entry['split'] is not None for entry in entries):
        return source
    classes, patients = ({entry['video_id']: entry[key] for entry in entries} for key in ('label', 'patient_id'))
    splits = split_videos(classes, options.val_fraction, options.seed, patients)
    if not _enough_are_held_back(splits.values()):
        return source
    folder.mkdir(parents=True, exist_ok=True)
    _refer(source.resolve() / STORE, folder / STORE)
    split_entries = [entry | {'split': splits[entry['video_id']]} for entry in entries]
    write_annotations(folder / 'annotations.json', split_entries, **content['metainfo'])
    return folder


def _refer(store: Path, link: Path) -> None:
    """Make ``link`` show the files of a store: as a link, or as a copy where links are not allowed (Windows)."""
    if link.is_symlink() or link.exists():
        if link.resolve() == store:
            return
        link.unlink() if link.is_symlink() else shutil.rmtree(link)
    try:
        link.symlink_to(store, target_is_directory=True)
    except OSError:
        shutil.copytree(store, link)


def _entries(folder: Path) -> list[dict[str, Any]]:
    return read_annotations(folder / 'annotations.json')['data_list']


def _num_skipped(folder: Path) -> int:
    path = folder / 'skipped.csv'
    return len(read_csv(path)) - 1 if path.is_file() else 0


def _describe(
    folder: Path,
    entries: Sequence[Mapping[str, Any]],
    used: Sequence[Mapping[str, Any]],
    held_out: str | None,
    splits: Mapping[str | None, int],
    options: PretrainingOptions,
) -> list[str]:
    labels = Counter(entry['label'] for entry in used if entry['label'] is not None)
    patients = {entry['patient_id'] for entry in used} - {None}
    lines = [f'{folder / OVERVIEW} shows all clips'] if (folder / OVERVIEW).is_file() else []
    frames = sum(entry['num_frames'] for entry in used)
    if skipped := _num_skipped(folder):
        lines.append(f'{counted(skipped, "file")} skipped: {folder / "skipped.csv"} says why')
    named = ', '.join(f'{name} {count}' for name, count in sorted(labels.items())) or 'no labels'
    known = f' of {counted(len(patients), "patient")}' if patients else ''
    lines.append(f'training on {len(used)} videos{known} ({frames} frames): {named}')
    if held_out is not None:
        others = {entry['patient_id'] for entry in entries if entry['split'] == held_out} - {None}
        lines.append(
            f'held back: {splits[held_out]} videos' + (f' of {counted(len(others), "patient")}' if others else '')
        )
    elif options.val_fraction:
        lines.append('nothing is held back: there are too few patients for two more videos to compare')
    if any(entry['patient_id'] is None for entry in entries):
        lines.append(
            'some patients are unknown, so each of their videos counts as a patient: an index.csv with patient_id '
            'keeps the videos of a patient on one side'
        )
    return lines
