"""Which side of a split each video is on, and what is on two sides, judged by ids only."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from uscl.data.folds import SIDES, Folds, group_of

from .clip_facts import Clip, describe_patient
from .finding import ERROR, NOTE, Finding

_MANY = 4  # names listed in a sentence


@dataclass
class Division:
    """One way of dividing a dataset into sides.

    Attributes:
        name: For messages: ``'the split column'``, ``'fold 0 of folds.json'``.
        sides: Video id → its sides; more than one is a leak. Videos left out are absent.
    """

    name: str
    sides: dict[str, list[str]] = field(default_factory=dict)


def divisions_of(
    entries: Sequence[Mapping], metainfo: Mapping, folds: Folds | None = None, folds_name: str = 'the folds'
) -> list[Division]:
    """The divisions used with a dataset: the given folds, otherwise its split column and its own folds.

    Args:
        entries: The annotation's ``data_list``.
        metainfo: The annotation's ``metainfo``; its ``folds`` came with the data.
        folds: Folds as written by ``tools/evaluate.py``.
        folds_name: Where the folds came from, for messages.

    Raises:
        ValueError: The folds name a video that is not in the data.
    """
    if folds is not None:
        return [_division(f'fold {number} of {folds_name}', fold, entries) for number, fold in enumerate(folds.folds)]
    column = {entry['video_id']: [entry['split']] for entry in entries if entry['split'] is not None}
    own = metainfo.get('folds') or []
    return [
        *([Division('the split column', column)] if column else []),
        *(_division(f'fold {k} of the annotation', fold, entries) for k, fold in enumerate(own)),
    ]


def _division(name: str, fold: Mapping[str, Sequence[str]], entries: Sequence[Mapping]) -> Division:
    known = {entry['video_id'] for entry in entries}
    sides: dict[str, list[str]] = defaultdict(list)
    for side in SIDES:
        for item in fold.get(side, ()):
            if item not in known:
                raise ValueError(
                    f'{name} lists the video {item!r}, which is not in the data: the folds belong to other data; give '
                    f'the folder that they were made for.'
                )
            if side not in sides[item]:
                sides[item].append(side)
    return Division(name, dict(sides))


def leaks_by_id(data: str, entries: Sequence[Mapping], divisions: Sequence[Division]) -> Iterator[Finding]:
    """Find videos and patients on more than one side of a division.

    Args:
        data: The data folder.
        entries: Its videos.
        divisions: See :func:`divisions_of`.
    """
    for division in divisions:
        by_patient: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for entry in entries:
            sides = division.sides.get(entry['video_id'], [])
            if len(sides) > 1:
                yield Finding(
                    ERROR,
                    'video on two sides',
                    f'in {" and in ".join(sides)} of {division.name}',
                    data,
                    f'video {entry["video_id"]!r} ({describe_patient(entry["patient_id"])})',
                    clips=((data, entry['video_id']),),
                )
            if entry['patient_id'] is not None:
                for side in sides:
                    by_patient[group_of(entry)][side].append(entry['video_id'])
        for patient, of_side in by_patient.items():
            videos = list(dict.fromkeys(video for members in of_side.values() for video in members))
            if len(of_side) > 1 and len(videos) > 1:
                yield Finding(
                    ERROR,
                    'patient on two sides',
                    f'in {" and in ".join(of_side)} of {division.name}',
                    data,
                    f'patient {patient!r}',
                    '; '.join(f'{side}: {few(members)}' for side, members in of_side.items()),
                    tuple((data, video) for video in videos),
                )


def shared_ids(entries: Mapping[str, Sequence[Mapping]]) -> Iterator[Finding]:
    """Find ids that two data folders share. Each folder assigns its own ids, so this is only a suspicion.

    Args:
        entries: Data folder → its videos.
    """
    for (first, ours), (second, theirs) in combinations(entries.items(), 2):
        for key, what in (('patient_id', 'patient'), ('video_id', 'video')):
            others = {e[key] for e in theirs} - {None}
            shared = dict.fromkeys(e[key] for e in ours if e[key] in others)
            if shared:
                yield Finding(
                    NOTE,
                    f'{what} id in two folders',
                    f'{len(shared)} {what} ids are in both {first} and {second}: {few(list(shared))}. Each folder '
                    f'assigns its own ids, so this is only a suspicion; add a prefix if they differ in meaning',
                    clips=tuple((d, e['video_id']) for d, es in ((first, ours), (second, theirs)) for e in es
                          if e[key] in shared),
                )  # fmt: skip


def parted_by(first: Clip, second: Clip, divisions: Mapping[str, Sequence[Division]]) -> tuple[bool, str]:
    """Whether two copies are on different sides, or could end up there.

    Args:
        first: A clip.
        second: Its copy.
        divisions: Data folder → its divisions.

    Returns:
        Whether it is a leak, and the reason in either case, as the end of a sentence.
    """
    if first.data != second.data:
        return True, f'in {first.data} and in {second.data}'
    ours = divisions[first.data]
    for division in ours:
        one, other = (division.sides.get(clip.video_id, []) for clip in (first, second))
        if any(a != b for a in one for b in other):
            return True, f'in {"/".join(one)} and in {"/".join(other)} of {division.name}'
    if first.patient_id is not None and first.patient_id == second.patient_id:
        return False, 'of the same patient, on the same side'
    decided = any(first.video_id in d.sides and second.video_id in d.sides for d in ours)
    who = 'unknown' if None in (first.patient_id, second.patient_id) else 'different'
    side = 'on the same side, but ' if decided else ''
    return not decided, f'{side}of {who} patients: folds by patient may separate them'


def few(names: Sequence[str]) -> str:
    """Some of the names, and the number of the others.

    >>> few(['a', 'b', 'c', 'd', 'e', 'f'])
    'a, b, c, d and 2 more'
    """
    rest = len(names) - _MANY
    return ', '.join(names[:_MANY]) + (f' and {rest} more' if rest > 0 else '')
