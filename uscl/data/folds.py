"""The videos that a cross-validation trains, selects and tests on; stored in a file next to its results."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from uscl.core.atomic_files import write_text

SIDES = ('train', 'val', 'test')
_KIND = 'uscl_folds'


@dataclass(frozen=True)
class Folds:
    """K divisions of a dataset.

    Attributes:
        folds: K dicts with the video ids of each side: ``train``, ``val`` (inner validation, may be empty) and
            ``test``.
        group_by: What was kept together: ``'patient'``, ``'video'``, ``'split'`` (the annotation's column) or
            ``'unknown'`` (folds that came with the data).
        seed: Seed of the shuffle.
        warnings: What a reader of the results should know, as sentences.
    """

    folds: list[dict[str, list[str]]]
    group_by: str = 'patient'
    seed: int = 0
    warnings: list[str] = field(default_factory=list)

    def sides(self, fold: int) -> dict[str, str]:
        """The side of every id in one fold.

        Raises:
            ValueError: The fold does not exist.
        """
        if not 0 <= fold < len(self.folds):
            raise ValueError(f'fold should be from 0 to {len(self.folds) - 1}, got {fold}.')
        return {name: side for side in SIDES for name in self.folds[fold][side]}


def group_of(entry: Mapping) -> str:
    """What must stay on one side: the patient of a video, or the video itself if the patient is unknown."""
    return entry['patient_id'] if entry['patient_id'] is not None else f'video:{entry["video_id"]}'


def write_folds(path: str | Path, folds: Folds) -> None:
    """Write folds as JSON, atomically."""
    text = json.dumps({'kind': _KIND, **asdict(folds)}, indent=1, ensure_ascii=False) + '\n'
    write_text(path, text)


def read_folds(path: str | Path) -> Folds:
    """Read what :func:`write_folds` wrote.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not a folds file.
    """
    path = Path(path)
    if not path.is_file():
        remedy = 'set fold_file to OUT/folds/seed0.json of an evaluation, or fold=None for the splits of the annotation'
        raise FileNotFoundError(f'{path} does not exist: {remedy}.')
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        if content.pop('kind') != _KIND:
            raise KeyError('kind')
        folds = Folds(**content)
        _check_types(folds)
        return folds
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f'{path} is not a folds file ({error!r}): run tools/evaluate.py to write it again.') from error


def _check_types(folds: Folds) -> None:
    if not isinstance(folds.folds, list) or not all(isinstance(fold, dict) for fold in folds.folds):
        raise TypeError('folds should be a list of objects')
    lists = [folds.warnings, *(fold[side] for fold in folds.folds for side in SIDES)]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        raise TypeError('train, val and test of every fold, and warnings, should be lists of strings')
    if not isinstance(folds.group_by, str) or not isinstance(folds.seed, int):
        raise ValueError('group_by should be a string and seed an integer')


def check_folds(folds: Folds, entries: Sequence[Mapping], needed: Sequence[str] = ('train', 'test')) -> None:
    """Check that folds fit the data and that nothing is on two sides.

    Args:
        folds: The folds; patients are only checked if they were to be kept together (``'patient'``, ``'split'``).
        entries: The annotation's ``data_list``.
        needed: Parts of a fold that must not be empty.

    Raises:
        ValueError: A patient or video is on two sides, an id is not in the data, a needed part of a fold is empty, or
            a fold does not train on a class; the message names it. A class may be absent from a fold's test part:
            results pool the test parts of all folds.
    """
    group = {entry['video_id']: group_of(entry) for entry in entries}
    label = {entry['video_id']: entry['label'] for entry in entries}
    patients: dict[str, set[str]] = {}  # by class that occurs in the folds
    used = {name for fold in folds.folds for side in SIDES for name in fold[side] if name in group}
    for video in sorted(used):
        if label[video] is not None:
            patients.setdefault(label[video], set()).add(group[video])
    for number, fold in enumerate(folds.folds):
        side_of: dict[tuple[str, str], str] = {}
        for side in SIDES:
            for name in fold[side]:
                if name not in group:
                    what = f'fold {number} lists the video {name!r}, which is not in the data'
                    raise ValueError(f'{what}: the folds belong to other data, so evaluate into another folder.')
                parts = [('video', name)]
                if folds.group_by in ('patient', 'split'):
                    parts.append(('patient', group[name]))
                for kind, part in parts:
                    if (other := side_of.setdefault((kind, part), side)) != side:
                        what = f'{kind} {part!r} is in both {other} and {side} of fold {number}'
                        raise ValueError(f'{what}: correct the split column or the patient ids.')
        for side in needed:
            if not fold[side]:
                remedy = 'use fewer folds, another seed, or a smaller --val-fraction'
                raise ValueError(f'fold {number} has nothing to {side} on: {remedy}.')
        trained = {label[name] for name in fold['train']}
        if missing := [name for name in sorted(patients) if name not in trained]:
            counts = ', '.join(f'{name} {len(found)}' for name, found in sorted(patients.items()))
            what = f'fold {number} does not train on class {missing[0]!r} (patients by class: {counts})'
            raise ValueError(
                f'{what}: use fewer folds, add patients of the class, merge it with another, or leave it out.'
            )
