"""A fine-tuned classifier, rebuilt from its checkpoint only, and its predictions for clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uscl.clips.frame_resize import resize_frame
from uscl.convert.videos.frame_decoding import read_as_stored
from uscl.convert.videos.store_settings import StoreSettings
from uscl.core.config_literals import config_literals
from uscl.stats.clip_prediction import clip_prediction
from uscl.stats.training_features import TrainingFeatures
from uscl_plugin.compat.backbone_io import pool
from uscl_plugin.datasets.pipeline_settings import dataset_pipeline, input_size
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.input_metadata import LARGEST_INPUT
from uscl_plugin.weights.network_builder import build_network
from uscl_plugin.weights.plain_checkpoints import checkpoint_meta, class_names, load_plain_checkpoint, stated
from uscl_plugin.weights.provenance import kept_provenance
from uscl_plugin.weights.strict_loading import load_strictly

from .training_features import read_training_features

REMEDY = 'pass a model.pth of uscl finetune or uscl evaluate, or a checkpoint trained with a config of configs/pocus'
_STEPS = ('LoadFrame', 'LoadImageFromFile', 'AntialiasedResize', 'PackInputs')  # that prepare() stands for


@dataclass(frozen=True)
class PreparedClip:
    """A clip as a classifier takes it, whether for a prediction or for a map.

    Attributes:
        path: The clip.
        frames: N arrays (H, W, 3) uint8, RGB, as the converters store them; all grey if the clip is stored in grey.
        times: Their N times in seconds; None if not known.
        pixels: (N, 3, S, S) uint8, BGR, resized to the network's input; normalised by :meth:`FrameClassifier.inputs`.
    """

    path: Path
    frames: list[np.ndarray]
    times: list[float] | None
    pixels: Tensor


@dataclass(frozen=True)
class FrameClassifier:
    """A frame classifier with the input that it expects.

    Attributes:
        model: MMPretrain's ``ImageClassifier`` in evaluation mode.
        classes: Names of the C classes.
        size: Side length S of the input in pixels.
        settings: Settings with which the training data were converted.
        training: Features of the training clips; None if its file has none.
    """

    model: Any
    classes: list[str]
    size: int
    settings: StoreSettings
    training: TrainingFeatures | None = None

    def prepare(self, path: str | Path, settings: StoreSettings | None = None) -> PreparedClip:
        """Read a clip of any kind, and resize its frames for the network.

        Args:
            path: See :func:`uscl.clips.open_clip`.
            settings: How the frames are prepared; None prepares them as the training data were.

        Raises:
            ClipError: The clip does not exist or cannot be read.
        """
        stored, times = read_as_stored(path, settings or self.settings)
        frames = [np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame for frame in stored]
        return PreparedClip(Path(path), frames, times, self.resize(frames))

    def resize(self, frames: Sequence[np.ndarray]) -> Tensor:
        """N arrays (H, W, 3) uint8, RGB, of any size, as (N, 3, S, S) uint8, BGR."""
        images = np.stack([resize_frame(frame[..., ::-1], (self.size, self.size)) for frame in frames])
        return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))

    def inputs(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, S, S) uint8, BGR, as what the network gets: normalised, in its channel order, on its device."""
        return self.model.data_preprocessor({'inputs': pixels})['inputs']

    @torch.inference_mode()
    def run(self, pixels: Tensor, batch_size: int = 32) -> tuple[np.ndarray, np.ndarray]:
        """Run the network.

        Args:
            pixels: (N, 3, S, S) uint8, BGR.
            batch_size: Frames per forward pass.

        Returns:
            Class probabilities (N, C) float64, rows sum to 1; and pooled backbone features (N, D) float32.
        """
        probabilities, features = [], []
        for batch in pixels.split(batch_size):
            maps = self.model.backbone(self.inputs(batch))
            scores = self.model.head(self.model.neck(maps) if self.model.with_neck else maps)
            probabilities.append(scores.softmax(dim=1).double().cpu().numpy())
            features.append(pool(maps).float().cpu().numpy())
        return np.concatenate(probabilities), np.concatenate(features)

    def predict(self, clip: PreparedClip) -> dict[str, Any]:
        """Predict the class of a clip, see :func:`~uscl.stats.clip_prediction.clip_prediction`."""
        return clip_prediction(clip.path, self.classes, *self.run(clip.pixels), self.training)

    def predict_file(self, path: str | Path, settings: StoreSettings) -> dict[str, Any]:
        """:meth:`prepare`, then :meth:`predict`."""
        return self.predict(self.prepare(path, settings))


def load_classifier(path: str | Path, checkpoint: Mapping[str, Any] | None = None) -> FrameClassifier:
    """Rebuild a classifier from a checkpoint written by an MMEngine run or ``tools/evaluate.py``.

    Its config is read as literals, and nothing in the file is executed; see
    :func:`~uscl_plugin.weights.network_builder.build_network`.

    Args:
        path: The file.
        checkpoint: Its content, if it has been read.

    Raises:
        FileNotFoundError: The file does not exist.
        CheckpointError: The file is not readable, has no classifier or no class names, names parts of a network that
            are not known, prepares frames in another way, or its weights do not fit its config.
    """
    checkpoint = load_plain_checkpoint(path) if checkpoint is None else checkpoint
    meta = checkpoint_meta(checkpoint)
    cfg = config_literals(str(meta.get('cfg', '')), ('model', 'data_preprocessor', 'test_dataloader', 'val_dataloader'))
    classes = class_names(meta)
    model = cfg.get('model')
    if not isinstance(model, dict) or model.get('type') != 'ImageClassifier' or not model.get('head') or not classes:
        raise CheckpointError(f'{path} contains no classifier (a pretrained backbone has no classes): {REMEDY}.')
    if not model.get('data_preprocessor'):  # as MMEngine's runner does
        model['data_preprocessor'] = cfg.get('data_preprocessor')
    size = _input_size(path, cfg.get('test_dataloader') or cfg.get('val_dataloader') or {})
    network = build_network(model, path, 'mmpretrain', checkpoint.get('state_dict', checkpoint))
    load_strictly(network, checkpoint, path, REMEDY)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    found = FrameClassifier(network.to(device).eval(), classes, size, _conversion_settings(path, meta))
    probabilities, features = found.run(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    if (count := probabilities.shape[1]) != len(classes):
        raise CheckpointError(f'{path} has {len(classes)} class names for {count} classes: {REMEDY}.')
    return replace(found, training=read_training_features(checkpoint, path, features.shape[1]))


def _input_size(path: str | Path, loader: Any) -> int:
    """Side of the network's input, from a pipeline that :meth:`FrameClassifier.prepare` stands for."""
    try:
        steps = [step['type'] for step in dataset_pipeline(loader['dataset'])]
        size = input_size(loader['dataset'])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f'{path} does not say how its frames are prepared ({error}): {REMEDY}.') from error
    if not 0 < size <= LARGEST_INPUT:
        raise CheckpointError(
            f'{path} takes frames of {size} pixels, which is no size from 1 to {LARGEST_INPUT}: {REMEDY}.'
        )
    if other := [str(step) for step in steps if step not in _STEPS]:
        raise CheckpointError(
            f'{path} was tested with {", ".join(other)} in the pipeline, which is not done here: train it with '
            f'AntialiasedResize alone, as in configs/pocus.'
        )
    return size


def _conversion_settings(path: str | Path, meta: Mapping[str, Any]) -> StoreSettings:
    """Settings with which the training data were converted; the defaults where a checkpoint does not know them.

    Raises:
        CheckpointError: The checkpoint states settings that make no sense.
    """
    stored = stated(kept_provenance(meta), 'uscl', 'settings') or {}
    known = {field.name: stored[field.name] for field in fields(StoreSettings) if field.name in stored}
    if known.get('min_frames', 1) is None:  # of folders of frames, which are kept whole
        del known['min_frames']
    try:
        return StoreSettings(**known)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f'{path} states settings of the conversion that make no sense: {known}.') from error
