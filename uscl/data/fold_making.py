"""Divide a dataset into cross-validation folds so that no patient is on both sides."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from uscl.core.plurals import counted

from .folds import SIDES, Folds, check_folds, group_of
from .patient_division import divide, hold_back_share, unknown_patients

GROUPINGS = ('patient', 'video')


def make_folds(
    entries: Sequence[Mapping], num_folds: int, seed: int = 0, group_by: str = 'patient', val_fraction: float = 0.2
) -> Folds:
    """Divide labelled videos into K folds, stratified by class; see :func:`.patient_division.divide`.

    A fold that does not train on some class is an error. An inner validation part is taken from each training part,
    grouped in the same way.

    Args:
        entries: The annotation's ``data_list``; unlabelled videos are ignored.
        num_folds: K, at least 2.
        seed: Seed of the shuffles.
        group_by: What stays together: ``'patient'`` (a video without a patient id is its own group, with a warning), or
            ``'video'``, to show how leakage inflates the results.
        val_fraction: Fraction of each training part used for inner validation, in [0, 1); 0 for none.

    Returns:
        The folds, validated.

    Raises:
        ValueError: A class has fewer patients (videos) than folds; the message names it and the largest possible
            number. Or a fold does not train on a class; see :func:`check_folds`.
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f'val_fraction should be at least 0 and below 1, got {val_fraction}.')
    if num_folds < 2:
        raise ValueError(f'The number of folds should be at least 2, got {num_folds}.')
    entries = [entry for entry in entries if entry['label'] is not None]
    if not entries:
        raise ValueError('No video has a label: give labels (class folders, or an index.csv) and convert again.')
    notes: list[str] = []
    if group_by == 'video':
        units = [(entry['video_id'], entry['label'], entry['video_id']) for entry in entries]
    elif group_by == 'patient':
        units = [(entry['video_id'], entry['label'], group_of(entry)) for entry in entries]
        notes += unknown_patients([entry['patient_id'] for entry in entries])
    else:
        raise ValueError(f'group_by should be one of {GROUPINGS}, got {group_by!r}.')
    _check_counts(units, num_folds, group_by)
    folds = []
    for test in divide(units, num_folds, seed):
        rest = [unit for unit in units if unit[0] not in test]
        val = _inner_validation(rest, val_fraction, seed)
        folds.append(_fold([name for name, _, _ in rest], val, [name for name, _, _ in units if name in test]))
    return _checked(Folds(folds, group_by, seed, notes), entries)


def folds_of_splits(
    entries: Sequence[Mapping], seed: int = 0, val_fraction: float = 0.2, group_by: str = 'patient'
) -> Folds:
    """One fold from the annotation's ``split`` column: ``train``, ``test``, and ``val`` for inner validation.

    Without ``test``, ``val`` is used for testing; without ``val``, the inner validation part is taken from ``train``.

    Args:
        entries: The annotation's ``data_list``; unlabelled videos are ignored.
        seed: Seed of the inner validation part.
        val_fraction: Its fraction of the training videos.
        group_by: 'patient', or 'video' to allow a patient on two sides, which is leakage.

    Raises:
        ValueError: A split is missing or has another name, a patient is on two sides, or a class is not trained on.
    """
    entries = [entry for entry in entries if entry['label'] is not None]
    of_split: dict[str, list[Mapping]] = defaultdict(list)
    for entry in entries:
        of_split[entry['split'] or ''].append(entry)
    notes = unknown_patients([entry['patient_id'] for entry in entries])
    if left_out := of_split.pop('', []):
        notes.append(f'{counted(len(left_out), "video")} with a label but no split: ignored.')
    if odd := sorted(of_split.keys() - {'train', 'val', 'test'}):
        raise ValueError(f'The split column should say train, val or test, got {", ".join(odd)}: correct the index.')
    test = of_split.get('test') or of_split.get('val') or []
    val = of_split.get('val', []) if of_split.get('test') else []
    train = of_split.get('train', [])
    if not train or not test:
        what = f'needs labelled videos in train and in test (or val), found {", ".join(sorted(of_split)) or "no split"}'
        raise ValueError(f'--folds split {what}: convert again with a split column, or give a number of folds.')
    chosen = {entry['video_id'] for entry in val}
    if not val:
        units = [(entry['video_id'], entry['label'], group_of(entry)) for entry in train]
        chosen = _inner_validation(units, val_fraction, seed)
    fold = _fold([entry['video_id'] for entry in (*train, *val)], chosen, [entry['video_id'] for entry in test])
    return _checked(Folds([fold], 'video' if group_by == 'video' else 'split', seed, notes), entries)


def official_folds(annotations: Mapping, seed: int = 0, val_fraction: float = 0.2) -> Folds:
    """The folds that came with the data (``metainfo.folds``), for data with unknown patients.

    Raises:
        ValueError: The annotation has no folds.
    """
    given = annotations['metainfo'].get('folds')
    if not given:
        raise ValueError('metainfo.folds is missing from the annotation: give a number of folds, or split.')
    known = {entry['video_id']: entry for entry in annotations['data_list']}
    if missing := [name for fold in given for side in ('train', 'test') for name in fold[side] if name not in known]:
        raise ValueError(f'metainfo.folds names {missing[0]!r}, which is not in the data: run the converter again.')
    notes = unknown_patients([entry['patient_id'] for entry in annotations['data_list']])
    folds = []
    for number, fold in enumerate(given):
        test = dict.fromkeys(fold['test'])
        train = [name for name in dict.fromkeys(fold['train']) if name not in test]
        if twice := len(set(fold['train'])) - len(train):
            notes.append(f'{counted(twice, "image")} of fold {number} in both train and test: used for testing only.')
        units = [(name, known[name]['label'], group_of(known[name])) for name in train]
        val = _inner_validation(units, val_fraction, seed)
        folds.append(_fold(train, val, list(test)))
    return _checked(Folds(folds, 'unknown', seed, notes), annotations['data_list'])


def final_fold(entries: Sequence[Mapping], seed: int = 0, val_fraction: float = 0.2) -> Folds:
    """One fold without a test part, for a final model: all labelled videos are trained on or choose the epoch.

    Args:
        entries: The annotation's ``data_list``; unlabelled videos are ignored.
        seed: Seed of the choice.
        val_fraction: Fraction of the patients used for inner validation, in [0, 1); 0 for none.

    Returns:
        The fold; its ``val`` is empty if there are too few patients.

    Raises:
        ValueError: No video has a label, or all have the same.
    """
    entries = [entry for entry in entries if entry['label'] is not None]
    units = [(entry['video_id'], entry['label'], group_of(entry)) for entry in entries]
    classes = {label for _, label, _ in units}
    if len(classes) < 2:
        found = f'all labelled videos are {min(classes)!r}' if classes else 'no video has a label'
        raise ValueError(f'{found}, but a classifier needs two classes: label the clips and convert again.')
    val = _inner_validation(units, val_fraction, seed)
    fold = _fold([name for name, _, _ in units], val, [])
    made = Folds([fold], 'patient', seed, unknown_patients([entry['patient_id'] for entry in entries]))
    check_folds(made, entries, needed=('train',))
    return made


def _fold(names: Sequence[str], val: set[str], test: list[str]) -> dict[str, list[str]]:
    """A fold that trains on the names that are not in ``val``."""
    train = [name for name in names if name not in val]
    return {'train': train, 'val': [name for name in names if name in val], 'test': test}


def _checked(made: Folds, entries: Sequence[Mapping]) -> Folds:
    """Folds that fit the data, with inner validation in all or none, and a note on classes that are not tested."""
    folds, notes = made.folds, made.warnings
    label = {entry['video_id']: entry['label'] for entry in entries}
    if any(fold['val'] for fold in folds) and not all(fold['val'] for fold in folds):
        notes.append('Some folds have too few patients for an inner validation part, so no fold has one.')
        for fold in folds:
            fold['train'], fold['val'] = fold['train'] + fold['val'], []
    classes = {label[name] for fold in folds for side in SIDES for name in fold[side]}
    for number, fold in enumerate(folds):
        if missing := classes - {label[name] for name in fold['test']}:
            effect = 'its metrics come from the other folds' if len(folds) > 1 else 'means do not include it'
            notes.append(f'Fold {number} does not test on {", ".join(sorted(missing))}: {effect}.')
        if len({label[name] for name in fold['train']}) == 1:
            what = f'fold {number} only trains on class {label[fold["train"][0]]!r}'
            raise ValueError(f'{what}: use fewer folds or a smaller --val-fraction, or add videos of other classes.')
    check_folds(made, entries)
    return made


def _check_counts(units: Sequence[tuple[str, str, str]], num_folds: int, group_by: str) -> None:
    groups: dict[str, set[str]] = defaultdict(set)
    for _, label, group in units:
        groups[label].add(group)
    counts = {label: len(members) for label, members in groups.items()}
    scarce = min(counts, key=lambda label: counts[label])
    if counts[scarce] < num_folds:
        has = f'class {scarce!r} has {counted(counts[scarce], group_by)}'
        fewer = f'pass --folds {counts[scarce]}, ' if counts[scarce] > 1 else ''
        raise ValueError(
            f'{has}, too few for {num_folds} folds: {fewer}add more {group_by}s with this class, or leave it out.'
        )


def _inner_validation(units: Sequence[tuple[str, str, str]], fraction: float, seed: int) -> set[str]:
    """Units to select on: whole groups, from every class that has at least two; see :func:`.hold_back_share`.

    A patient with several classes counts as one of them there, which could hold back all of another class, so such
    patients are excluded.
    """
    chosen = hold_back_share(units, fraction, seed)
    trained = {label for name, label, _ in units if name not in chosen}
    needed = {group for _, label, group in units if label not in trained}
    return chosen - {name for name, _, group in units if group in needed}
