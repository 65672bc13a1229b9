"""Folds that train on a few patients only: how many labelled patients does a backbone need?"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from uscl.core.hash_rank import hash_rank

from .folds import Folds, check_folds, group_of


def limit_patients(folds: Folds, entries: Sequence[Mapping], number: int) -> Folds:
    """Train every fold on the videos of so many patients of each class; what is tested stays the same.

    The patients of a class are ordered by :func:`~uscl.core.hash_rank.hash_rank` with the folds' seed, and the first
    are taken, so that few are part of more. A patient with videos of several classes counts for those for which it is
    taken, with its videos of these. There is no inner validation part: few patients cannot be divided.

    Args:
        folds: The folds.
        entries: The annotation's ``data_list``.
        number: Patients of each class, at least 1; all of a class that has no more.

    Returns:
        The folds with smaller training parts.

    Raises:
        ValueError: ``number`` is below 1.
    """
    if number < 1:
        raise ValueError(f'The number of patients of each class should be at least 1, got {number}.')
    known = {entry['video_id']: entry for entry in entries}
    limited = []
    for fold in folds.folds:
        videos = [known[name] for name in (*fold['train'], *fold['val'])]
        of_class: dict[str, set[str]] = defaultdict(set)
        for entry in videos:
            of_class[entry['label']].add(group_of(entry))
        chosen = {
            label: set(sorted(groups, key=lambda group: (hash_rank(group, folds.seed), group))[:number])
            for label, groups in of_class.items()
        }
        train = [entry['video_id'] for entry in videos if group_of(entry) in chosen[entry['label']]]
        limited.append({'train': train, 'val': [], 'test': fold['test']})
    made = replace(folds, folds=limited)
    check_folds(made, entries)
    return made
