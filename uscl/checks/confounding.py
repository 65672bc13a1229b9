"""How well the class can be guessed without looking at the images: from size, frame rate, folder and so on."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from uscl.data.folds import group_of

from .clip_facts import Clip
from .finding import NOTE, WARNING, Finding

PERMUTATIONS, ALPHA = 200, 0.01
_MIN_PATIENTS = 3  # sharing a property before their common class means anything


def check_confounding(data: str, clips: Sequence[Clip], seed: int = 0) -> Iterator[Finding]:
    """Find properties that give the class away, and patients with only one class.

    Args:
        data: The data folder.
        clips: All of its clips; unlabelled ones are ignored.
        seed: Seed of the permutations.
    """
    clips = [clip for clip in clips if clip.label is not None]
    labels = np.array([clip.label for clip in clips])
    if len(set(labels.tolist())) < 2:
        return
    groups = np.array([group_of({'patient_id': clip.patient_id, 'video_id': clip.video_id}) for clip in clips])
    for name, values in properties(clips).items():
        if len(set(values)) < 2:
            continue
        measured = guess_class(np.array(values), labels, groups, seed)
        if measured is None:
            continue
        accuracy, chance, p_value = measured
        if accuracy > chance.mean() and p_value <= ALPHA:
            yield Finding(
                WARNING,
                'confounding',
                f'the {name} gives the class away: predicting from it alone, patients kept apart, reaches '
                f'{accuracy:.1%} balanced accuracy (labels shuffled between patients: {chance.mean():.1%} on average, '
                f'{np.percentile(chance, 95):.1%} at the 95th percentile; p = {p_value:.3f}){_pure(values, clips)}',
                data,
                value=accuracy,
            )
    yield from _check_patients(data, clips)


def properties(clips: Sequence[Clip]) -> dict[str, list[str]]:
    """What is known about a clip without looking at it: property name → its value for every clip."""
    found: dict[str, list[str]] = {
        'frame size': ['×'.join(map(str, clip.shapes[0])) for clip in clips],
        'aspect ratio': [f'{clip.shapes[0][1] / clip.shapes[0][0]:.1f}' for clip in clips],
        'storage as grey or colour': [str(clip.facts.get('stored_as')) for clip in clips],
        'frame rate': [str(clip.facts.get('frame_rate')) for clip in clips],
        'folder of the video': [_folder(clip) for clip in clips],
        'file type': [PurePosixPath(clip.video_id).suffix.lower() for clip in clips],
    }
    if found['aspect ratio'] and len(set(found['aspect ratio'])) == len(set(found['frame size'])):
        del found['aspect ratio']  # it would repeat the same groups
    return found


def _folder(clip: Clip) -> str:
    """The folders in the video id, except those named after a class, which only carry the label."""
    return '/'.join(part for part in PurePosixPath(clip.video_id).parts[:-1] if part != clip.label)


def guess_class(
    values: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int = 0
) -> tuple[float, np.ndarray, float] | None:
    """Predict the class as the majority class among clips that share a property, leaving one patient out at a time.

    Classes are weighted equally in the majority vote, as in balanced accuracy.

    Args:
        values: (N,) values of the property.
        labels: (N,) class labels.
        groups: (N,) patients. Labels are shuffled between patients (and, for patients with several classes, within
            them).
        seed: Seed of the permutations.

    Returns:
        Balanced accuracy; balanced accuracy under each permutation, (PERMUTATIONS,); the permutation p-value. None if a
        class has only one patient, so that nothing can be learned about it.
    """
    if min(len(set(groups[labels == label].tolist())) for label in np.unique(labels)) < 2:
        return None
    value, label, group = (np.unique(column, return_inverse=True)[1] for column in (values, labels, groups))
    unit = np.unique(np.char.add(np.char.add(groups, '\x1f'), labels), return_inverse=True)[1]
    of_unit = np.zeros(unit.max() + 1, int)
    of_unit[unit] = label
    random = np.random.RandomState(seed)
    accuracy = _accuracy(value, label, group)
    chance = np.array([_accuracy(value, random.permutation(of_unit)[unit], group) for _ in range(PERMUTATIONS)])
    return accuracy, chance, (1 + int((chance >= accuracy - 1e-9).sum())) / (1 + PERMUTATIONS)


def _accuracy(value: np.ndarray, label: np.ndarray, group: np.ndarray) -> float:
    """Balanced accuracy; all inputs are (N,) integers. Training counts exclude the item's own patient."""
    own = np.zeros((group.max() + 1, value.max() + 1, label.max() + 1))
    np.add.at(own, (group, value, label), 1)
    counts = own.sum(axis=0)[value] - own[group, value]
    sizes = own.sum(axis=(0, 1)) - own.sum(axis=1)[group]
    guessed = (counts / np.maximum(sizes, 1)).argmax(axis=1)  # an unseen value gets the first class
    return float(balanced_accuracy_score(label, guessed))


def _pure(values: Sequence[str], clips: Sequence[Clip]) -> str:
    """The end of a sentence on values whose clips, of several patients, have one class, most frequent first; or ''."""
    members: dict[str, list[Clip]] = defaultdict(list)
    for value, clip in zip(values, clips, strict=True):
        members[value].append(clip)
    pure = [
        f'all {len(group)} clips of {value} are {group[0].label}'
        for value, group in sorted(members.items(), key=lambda item: -len(item[1]))
        if len({clip.label for clip in group}) == 1
        and len({clip.patient_id or clip.video_id for clip in group}) >= _MIN_PATIENTS
    ]
    return f'. So {"; ".join(pure[:3])}' if pure else ''


def _check_patients(data: str, clips: Sequence[Clip]) -> Iterator[Finding]:
    classes = defaultdict(set)
    for clip in clips:
        if clip.patient_id is not None:
            classes[clip.patient_id].add(clip.label)
    count = Counter(clip.patient_id for clip in clips)
    several = [patient for patient in classes if count[patient] > 1]
    pure = [patient for patient in several if len(classes[patient]) == 1]
    if pure:
        yield Finding(
            NOTE,
            'one class a patient',
            f'{len(pure)} of {len(several)} patients with several clips have only one class, so knowing the patient '
            f'means knowing the class: keep patients apart',
            data,
        )
