"""A fine-tuned classifier, rebuilt from its checkpoint alone, and what it says about a clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmpretrain.registry import MODELS
from torch import nn

from uscl.clips import open_clip
from uscl.clips.frame_preparation import prepare_clip
from uscl.clips.frame_resize import resize_frame
from uscl.core.config_literals import config_literals
from uscl_plugin.datasets.pipeline_settings import input_size
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import checkpoint_meta, load_plain_checkpoint
from uscl_plugin.weights.strict_loading import load_strictly


@dataclass(frozen=True)
class FrameClassifier:
    """A classifier of frames with the input that it expects.

    Attributes:
        model: MMPretrain's ``ImageClassifier`` in evaluation mode.
        classes: Names of the C classes.
        size: Side of the input in pixels.
    """

    model: nn.Module
    classes: list[str]
    size: int

    def probabilities(self, frames: Sequence[np.ndarray], batch_size: int = 32) -> np.ndarray:
        """Class probabilities of frames.

        Args:
            frames: N arrays (H, W, 3) uint8; red, green, blue; of any size.
            batch_size: Frames a forward pass.

        Returns:
            (N, C) float64, rows sum to 1.
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

    def predict_clip(self, path: str | Path, fps: float = 3.0, size: int = 256) -> dict[str, Any]:
        """Predict the class of a clip by the mean of its frames' probabilities.

        Args:
            path: See :func:`read_clip`.
            fps: Frames to use in a second of a video or a DICOM file.
            size: Largest shorter side of a frame in pixels; best what the training data were converted with.

        Returns:
            ``clip`` (the path), ``predicted`` (class), ``probabilities`` (class → mean over frames), ``frames`` (how
            many) and ``agreement`` (share of the frames that alone would give the same class).

        Raises:
            ClipError: It does not exist, or cannot be read.
        """
        frames = self.probabilities(read_clip(path, fps, size))
        mean = frames.mean(axis=0)
        return {
            'clip': str(path),
            'predicted': self.classes[int(mean.argmax())],
            'probabilities': dict(zip(self.classes, mean.tolist(), strict=True)),
            'frames': len(frames),
            'agreement': float((frames.argmax(axis=1) == mean.argmax()).mean()),
        }


def load_classifier(path: str | Path) -> FrameClassifier:
    """Rebuild a classifier from a checkpoint that a run of MMEngine, or ``tools/evaluate.py``, has written.

    The configuration in it is read as literals and nothing of the file is executed.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: It is not readable, has no classifier or does not name its classes, or its weights do not fit
            its configuration.
    """
    checkpoint = load_plain_checkpoint(path)
    meta = checkpoint_meta(checkpoint)
    cfg = config_literals(str(meta.get('cfg', '')), ('model', 'test_dataloader', 'val_dataloader'))
    classes = (meta.get('dataset_meta') or {}).get('classes')
    model = cfg.get('model')
    remedy = 'pass a model.pth of tools/evaluate.py, or a checkpoint that a config of configs/pocus has trained'
    if not isinstance(model, dict) or model.get('type') != 'ImageClassifier' or not classes:
        raise CheckpointError(f'{path} holds no classifier (a pretrained backbone has no classes): {remedy}.')
    backbone = model.get('backbone')
    if isinstance(backbone, dict):
        backbone.pop('init_cfg', None)  # the weights are in the checkpoint
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}
    try:
        size = input_size(loader['dataset'])
        network = MODELS.build(model)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).split('\n')[0]
        raise CheckpointError(f'{path} holds a configuration that cannot be built ({reason}): {remedy}.') from error
    load_strictly(network, checkpoint, path, remedy)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    return FrameClassifier(network.to(device).eval(), list(classes), size)


def read_clip(path: str | Path, fps: float = 3.0, size: int = 256) -> list[np.ndarray]:
    """Frames of a video, a DICOM file, a folder of images or a single image, as the converters store them.

    Args:
        path: See :func:`uscl.clips.open_clip`.
        fps: Frames to keep in a second of a video or a DICOM file.
        size: Largest shorter side of a frame in pixels.

    Returns:
        Arrays (H, W, 3) uint8; red, green, blue; grey throughout if the whole clip is.

    Raises:
        ClipError: It does not exist, or cannot be read.
    """
    frames = prepare_clip(open_clip(path, fps), size)
    return [np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame for frame in frames]
