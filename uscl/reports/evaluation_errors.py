"""Videos that a classifier misclassifies, over all seeds, with thumbnails."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from uscl.data.video_folder import VideoFolder
from uscl.stats.predictions import Predictions


@dataclass(frozen=True)
class VideoError:
    """A video misclassified by at least one seed.

    Attributes:
        video: Its id.
        patient: Its group (patient).
        path: Name of its middle frame, see :func:`~uscl.data.frame_ids.frame_id`.
        true: Index of the true class.
        predicted: Index of the wrong class that most seeds predict; ties are broken by mean probability.
        probability: Mean probability of that class over all seeds.
        true_probability: Mean probability of the true class over all seeds.
        num_wrong: Number of seeds that misclassify it.
        num_seeds: Number of seeds.
    """

    video: str
    patient: str
    path: str
    true: int
    predicted: int
    probability: float
    true_probability: float
    num_wrong: int
    num_seeds: int


def video_errors(runs: Mapping[int, Predictions]) -> list[VideoError]:
    """All videos misclassified by any seed, most confident errors first, by the probability of the wrong class.

    Args:
        runs: Seed → predictions of the same frames, in any order.
    """
    tables = [_in_order(run.by_video()) for run in runs.values()]
    first = tables[0]
    every = np.stack([table.probabilities for table in tables])
    predicted, mean = every.argmax(axis=2), every.mean(axis=0)
    wrong = predicted != first.labels
    errors = []
    for k in np.flatnonzero(wrong.any(axis=0)):
        votes = np.bincount(predicted[wrong[:, k], k], minlength=every.shape[2])
        answer = int((votes + mean[k] / 2).argmax())  # half a probability only breaks ties between votes
        errors.append(
            VideoError(
                str(first.videos[k]),
                str(first.groups[k]),
                str(first.paths[k]),
                int(first.labels[k]),
                answer,
                float(mean[k, answer]),
                float(mean[k, first.labels[k]]),
                int(wrong[:, k].sum()),
                len(tables),
            )
        )
    return sorted(errors, key=lambda error: (-error.probability, error.video))


def thumbnail(folder: VideoFolder, name: str, size: int = 160) -> bytes | None:
    """A frame as a small JPEG, at most ``size`` pixels wide and high; None if the folder does not have it."""
    try:
        (frame,) = folder.frames([name])
    except (OSError, ValueError):
        return None
    image = Image.fromarray(np.ascontiguousarray(frame[..., ::-1]))
    image.thumbnail((size, size))
    buffer = io.BytesIO()
    image.save(buffer, format='JPEG', quality=80)
    return buffer.getvalue()


def _in_order(table: Predictions) -> Predictions:
    """Sort rows by video, since folds, and therefore the order, may differ between seeds."""
    order = np.argsort(table.videos)
    return Predictions(**{name: values[order] for name, values in vars(table).items()})
