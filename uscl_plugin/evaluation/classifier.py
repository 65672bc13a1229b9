"""A fine-tuned classifier, rebuilt from its checkpoint only, and its predictions for clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmpretrain.registry import MODELS
from torch import nn

from uscl.clips.frame_resize import resize_frame
from uscl.convert.videos.frame_decoding import read_as_stored
from uscl.convert.videos.store_settings import StoreSettings
from uscl.core.config_literals import config_literals
from uscl_plugin.datasets.pipeline_settings import input_size
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import checkpoint_meta, load_plain_checkpoint
from uscl_plugin.weights.provenance import kept_provenance
from uscl_plugin.weights.strict_loading import load_strictly


@dataclass(frozen=True)
class FrameClassifier:
    """A frame classifier with the input that it expects.

    Attributes:
        model: MMPretrain's ``ImageClassifier`` in evaluation mode.
        classes: Names of the C classes.
        size: Side length of the input in pixels.
        settings: Settings with which the training data were converted.
    """

    model: nn.Module
    classes: list[str]
    size: int
    settings: StoreSettings = field(default_factory=StoreSettings)

    def probabilities(self, frames: Sequence[np.ndarray], batch_size: int = 32) -> np.ndarray:
        """Class probabilities of frames.

        Args:
            frames: N arrays (H, W, 3) uint8, RGB, of any size.
            batch_size: Frames per forward pass.

        Returns:
            (N, C) float64; rows sum to 1.
        """
        found = []
        for start in range(0, len(frames), batch_size):
            images = [
                resize_frame(frame[..., ::-1], (self.size, self.size)) for frame in frames[start : start + batch_size]
            ]
            batch = {'inputs': torch.from_numpy(np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)))}
            with torch.inference_mode():
                inputs = self.model.data_preprocessor(batch)['inputs']  # type: ignore[operator]
                found.append(self.model(inputs).softmax(dim=1).double().cpu().numpy())
        return np.concatenate(found)

    def predict_clip(self, path: str | Path, settings: StoreSettings | None = None) -> dict[str, Any]:
        """Predict the class of a clip by the mean of its frames' probabilities.

        Args:
            path: See :func:`read_clip`.
            settings: How the frames are prepared; None prepares them as the training data were.

        Returns:
            ``clip`` (the path), ``predicted`` (class), ``probabilities`` (class → mean over frames), ``frames`` (their
            number) and ``agreement`` (fraction of the frames that individually give the same class).

        Raises:
            ClipError: The clip does not exist or cannot be read.
        """
        frames = self.probabilities(read_clip(path, settings or self.settings))
        mean = frames.mean(axis=0)
        return {
            'clip': str(path),
            'predicted': self.classes[int(mean.argmax())],
            'probabilities': dict(zip(self.classes, mean.tolist(), strict=True)),
            'frames': len(frames),
            'agreement': float((frames.argmax(axis=1) == mean.argmax()).mean()),
        }


def load_classifier(path: str | Path) -> FrameClassifier:
    """Rebuild a classifier from a checkpoint written by an MMEngine run or ``tools/evaluate.py``.

    Its config is read as literals, and nothing in the file is executed.

    Raises:
        FileNotFoundError: The file does not exist.
        CheckpointError: The file is not readable, has no classifier or no class names, or its weights do not fit its
            config.
    """
    checkpoint = load_plain_checkpoint(path)
    meta = checkpoint_meta(checkpoint)
    cfg = config_literals(str(meta.get('cfg', '')), ('model', 'test_dataloader', 'val_dataloader'))
    classes = (meta.get('dataset_meta') or {}).get('classes')
    model = cfg.get('model')
    remedy = 'pass a model.pth of tools/evaluate.py, or a checkpoint trained with a config of configs/pocus'
    if not isinstance(model, dict) or model.get('type') != 'ImageClassifier' or not classes:
        raise CheckpointError(f'{path} contains no classifier (a pretrained backbone has no classes): {remedy}.')
    backbone = model.get('backbone')
    if isinstance(backbone, dict):
        backbone.pop('init_cfg', None)  # the weights are in the checkpoint
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}
    try:
        size = input_size(loader['dataset'])
        network = MODELS.build(model)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).split('\n')[0]
        raise CheckpointError(f'{path} contains a config that cannot be built ({reason}): {remedy}.') from error
    load_strictly(network, checkpoint, path, remedy)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    return FrameClassifier(network.to(device).eval(), list(classes), size, _conversion_settings(path, meta))


def read_clip(path: str | Path, settings: StoreSettings | None = None) -> list[np.ndarray]:
    """Frames of a clip of any kind, as the converters store them.

    Args:
        path: See :func:`uscl.clips.open_clip`.
        settings: Settings of the conversion; None takes its defaults.

    Returns:
        Arrays (H, W, 3) uint8, RGB; all grey if the clip is stored in grey.

    Raises:
        ClipError: The clip does not exist or cannot be read.
    """
    frames = read_as_stored(path, settings or StoreSettings())
    return [np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame for frame in frames]


def _conversion_settings(path: str | Path, meta: Mapping[str, Any]) -> StoreSettings:
    """Settings with which the training data were converted; the defaults where a checkpoint does not know them.

    Raises:
        CheckpointError: The checkpoint states settings that make no sense.
    """
    stored = kept_provenance(meta).get('uscl', {}).get('settings') or {}
    known = {field.name: stored[field.name] for field in fields(StoreSettings) if field.name in stored}
    if known.get('min_frames', 1) is None:  # of folders of frames, which are kept whole
        del known['min_frames']
    try:
        return StoreSettings(**known)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f'{path} states settings of the conversion that make no sense: {known}.') from error
