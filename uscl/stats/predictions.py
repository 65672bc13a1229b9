"""Class probabilities of frames, with the video and patient of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uscl.core.atomic_files import write_atomically


@dataclass(frozen=True)
class Predictions:
    """Predictions for N frames (or N videos, see :meth:`by_video`) over C classes.

    Attributes:
        probabilities: (N, C) float64 in [0, 1]; rows sum to 1.
        labels: (N,) int64 in [0, C), the true classes.
        videos: (N,) strings, video ids.
        groups: (N,) strings: the patient, or ``video:ID`` if it is unknown.
        paths: (N,) strings: frame names; for a video, its middle frame.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    videos: np.ndarray
    groups: np.ndarray
    paths: np.ndarray

    def __post_init__(self) -> None:
        lengths = {len(value) for value in vars(self).values()}
        if len(lengths) != 1 or self.probabilities.ndim != 2:
            raise ValueError(f'Predictions should have one row per frame in each array, got lengths {sorted(lengths)}.')
        if not np.isfinite(self.probabilities).all():
            bad = self.paths[~np.isfinite(self.probabilities).all(axis=1)]
            raise ValueError(
                f'The probabilities of {len(bad)} frames are not finite, first {bad[0]}: the training diverged.'
            )

    def __len__(self) -> int:
        return len(self.labels)

    def by_video(self) -> 'Predictions':
        """One row per video, in the order of first frames: the mean of its frames' probabilities.

        Raises:
            ValueError: Frames of one video have different labels.
        """
        names, first, inverse = np.unique(self.videos, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        video = rank[inverse]
        first = first[order]
        if wrong := sorted({str(name) for name in self.videos[self.labels != self.labels[first][video]]}):
            raise ValueError(f'All frames of a video should have the same label, but they differ in {wrong[:3]}.')
        count = np.bincount(video)
        sums = np.zeros((len(names), self.probabilities.shape[1]))
        np.add.at(sums, video, self.probabilities)
        starts = np.cumsum(count) - count
        middle = np.argsort(video, kind='stable')[starts + count // 2]
        return Predictions(
            sums / count[:, None],
            self.labels[first],
            self.videos[first],
            self.groups[first],
            self.paths[middle],
        )

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` file atomically, without pickle."""

        def write(temporary: Path) -> None:
            with temporary.open('wb') as file:
                np.savez_compressed(file, **vars(self))

        write_atomically(path, write)

    @classmethod
    def load(cls, path: str | Path) -> 'Predictions':
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Concatenate several predictions, such as those of the folds of a cross-validation."""
    fields = Predictions.__dataclass_fields__
    return Predictions(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in fields})
