"""Which videos a cross-validation trains on, selects on and tests on; kept in a file beside its results."""

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
        folds: K dicts with the video ids of every side: ``train``, ``val`` (the inner validation part, may be empty)
            and ``test``.
        group_by: What was kept together: ``'patient'``, ``'video'``, ``'split'`` (the annotation's column) or
            ``'unknown'`` (folds that came with the data).
        seed: Of the shuffle.
        warnings: What a reader of the results should know, in plain words.
    """

    folds: list[dict[str, list[str]]]
    group_by: str = 'patient'
    seed: int = 0
    warnings: list[str] = field(default_factory=list)

    def sides(self, fold: int) -> dict[str, str]:
        """Side of every id in one fold.

        Raises:
            ValueError: There is no such fold.
        """
        if not 0 <= fold < len(self.folds):
            raise ValueError(f'fold should be from 0 to {len(self.folds) - 1}, got {fold}.')
        return {name: side for side in SIDES for name in self.folds[fold][side]}


def group_of(entry: Mapping) -> str:
    """What must stay on one side: the patient of a video, or the video itself where the patient is unknown."""
    return entry['patient_id'] if entry['patient_id'] is not None else f'video:{entry["video_id"]}'


def write_folds(path: str | Path, folds: Folds) -> None:
    """Write folds as JSON in one step."""
    text = json.dumps({'kind': _KIND, **asdict(folds)}, indent=1, ensure_ascii=False) + '\n'
    write_text(path, text)


def read_folds(path: str | Path) -> Folds:
    """Read what :func:`write_folds` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is another kind of file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist: tools/evaluate.py writes OUT/folds/seed0.json, set fold_file to that, '
            f'or use fold=None with the splits of the annotation.'
        )
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        if content.pop('kind') != _KIND:
            raise KeyError('kind')
        folds = Folds(**content)
        _check_types(folds)
        return folds
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f'{path} is not a file of folds ({error!r}): let tools/evaluate.py write it again.') from error


def _check_types(folds: Folds) -> None:
    if not isinstance(folds.folds, list) or not all(isinstance(fold, dict) for fold in folds.folds):
        raise TypeError('folds should be a list of objects')
    lists = [folds.warnings, *(fold[side] for fold in folds.folds for side in SIDES)]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        raise TypeError('train, val and test of every fold, and warnings, should be lists of texts')
    if not isinstance(folds.group_by, str) or not isinstance(folds.seed, int):
        raise ValueError('group_by should be a text, seed a whole number')


def check_folds(folds: Folds, entries: Sequence[Mapping]) -> None:
    """Make sure that folds fit the data and that nothing is on two sides.

    Args:
        folds: The folds; patients are checked only if they were to be kept together (``'patient'``, ``'split'``).
        entries: The annotation's ``data_list``.

    Raises:
        ValueError: Names the patient or video that is on two sides, the id that the data do not have, the fold
            whose training or test part is empty, or the class that a fold does not train on. A class that one does not
            test on is allowed: figures are those of the test parts of all folds together.
    """
    group = {entry['video_id']: group_of(entry) for entry in entries}
    label = {entry['video_id']: entry['label'] for entry in entries}
    patients: dict[str, set[str]] = {}  # of every class that the folds have
    used = {name for fold in folds.folds for side in SIDES for name in fold[side] if name in group}
    for video in sorted(used):
        if label[video] is not None:
            patients.setdefault(label[video], set()).add(group[video])
    for number, fold in enumerate(folds.folds):
        side_of: dict[tuple[str, str], str] = {}
        for side in SIDES:
            for name in fold[side]:
                if name not in group:
                    raise ValueError(
                        f'fold {number} lists the video {name!r}, which the data do not have: the folds are of '
                        f'other data, evaluate into another folder.'
                    )
                parts = [('video', name)]
                if folds.group_by in ('patient', 'split'):
                    parts.append(('patient', group[name]))
                for part in parts:
                    if side_of.setdefault(part, side) != side:
                        raise ValueError(
                            f'{part[0]} {part[1]!r} is in {side_of[part]} and in {side} of fold {number}: what belongs '
                            f'together must be on one side, correct the split column or the patient ids.'
                        )
        for side in ('train', 'test'):
            if not fold[side]:
                raise ValueError(
                    f'fold {number} has nothing to {side} on: take fewer folds, another seed, or a smaller '
                    f'--val-fraction.'
                )
        trained = {label[name] for name in fold['train']}
        if missing := [name for name in sorted(patients) if name not in trained]:
            counts = ', '.join(f'{name} {len(found)}' for name, found in sorted(patients.items()))
            raise ValueError(
                f'fold {number} does not train on class {missing[0]!r} (patients by class: {counts}), so it '
                f'could never name it: take fewer folds, add patients of the class to the training part, merge it with '
                f'another, or leave it out.'
            )
