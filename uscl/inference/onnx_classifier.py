"""A classifier in an ONNX file, with everything from frames to probabilities in its graph; needs no PyTorch."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from uscl.convert.videos.frame_decoding import read_as_stored
from uscl.convert.videos.store_settings import StoreSettings
from uscl.stats.clip_prediction import clip_prediction
from uscl.stats.training_features import TrainingFeatures

from .sealed_model import REMEDY, open_sealed

FRAMES, COLOR = 'frames', 'color'  # inputs
OUTPUTS = ('probabilities', 'features')
_BATCH = 16  # frames


@dataclass(frozen=True)
class OnnxClassifier:
    """A classifier of frames in ONNX Runtime.

    Attributes:
        session: The session.
        classes: Names of the C classes.
        settings: Settings with which the training data were converted.
        training: Features of the training clips; None if not known.
    """

    session: Any
    classes: list[str]
    settings: StoreSettings
    training: TrainingFeatures | None = None

    def predict_file(self, path: str | Path, settings: StoreSettings) -> dict[str, Any]:
        """Predict the class of a clip, see :func:`~uscl.stats.clip_prediction.clip_prediction`.

        Args:
            path: See :func:`uscl.clips.open_clip`.
            settings: How the frames are prepared.

        Raises:
            ClipError: The clip does not exist or cannot be read.
            ValueError: The size is not that of the training data, which is in the graph.
        """
        if settings.size != self.settings.size:
            raise ValueError(f'--frame-size is part of an exported model ({self.settings.size}): remove it.')
        frames, _ = read_as_stored(path, settings)
        return clip_prediction(path, self.classes, *run_frames(self.session, frames), self.training)


def run_frames(session: Any, frames: Sequence[np.ndarray], color: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Run an exported classifier on the frames of a clip.

    Args:
        session: The ONNX Runtime session.
        frames: N of any size, (H, W) grey each, or (H, W, 3) RGB; uint8.
        color: Keep frames in RGB although all of a batch are nearly grey.

    Returns:
        Class probabilities (N, C) float64, and pooled backbone features (N, D) float32.
    """
    step = _BATCH if isinstance(session.get_inputs()[0].shape[0], str) else 1  # some networks take one frame at a time
    found = []
    for shape, group in groupby(frames, key=np.shape):
        images = np.stack(list(group)).reshape(-1, *shape[:2], 3 if len(shape) == 3 else 1)
        for start in range(0, len(images), step):
            inputs = {FRAMES: images[start : start + step], COLOR: np.array([color and len(shape) == 3])}
            found.append(session.run(OUTPUTS, inputs))
    probabilities, features = map(np.concatenate, zip(*found, strict=True))
    return probabilities.astype(np.float64), features


def load_onnx_classifier(path: str | Path) -> OnnxClassifier:
    """Load a file of ``uscl export MODEL OUT --to onnx-model``.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is another file, see :func:`.sealed_model.open_sealed`.
    """
    session, found = open_sealed(path)
    try:
        training = None if found['training'] is None else unpack_training(found['training'])
        return OnnxClassifier(session, list(found['classes']), StoreSettings(**found['settings']), training)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} does not say how it is used ({error}): {REMEDY}.') from error


def pack_training(found: TrainingFeatures) -> dict[str, Any]:
    """Training features as plain values."""
    content = base64.b64encode(np.ascontiguousarray(found.features, dtype='<f2').tobytes()).decode()
    return vars(found) | {'features': content, 'width': found.features.shape[1]}


def unpack_training(stored: dict[str, Any]) -> TrainingFeatures:
    """The inverse of :func:`pack_training`."""
    features = np.frombuffer(base64.b64decode(stored['features']), dtype='<f2').reshape(-1, stored['width'])
    return TrainingFeatures(features, stored['quantiles'], stored['held_out'], stored['limit'])
