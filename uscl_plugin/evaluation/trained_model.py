"""Load whatever `uscl predict` takes: a classifier or a detector."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from uscl.core.config_literals import config_literals
from uscl_plugin.weights.plain_checkpoints import checkpoint_meta, load_plain_checkpoint

from .classifier import FrameClassifier, load_classifier

if TYPE_CHECKING:
    from uscl_plugin.detection.lesion_detector import LesionDetector


def load_model(path: str | Path) -> Union[FrameClassifier, 'LesionDetector']:
    """Load a classifier, or a detector, which needs MMDetection.

    Raises:
        FileNotFoundError: The file does not exist.
        CheckpointError: It cannot be used, see :func:`.classifier.load_classifier` and
            :func:`uscl_plugin.detection.lesion_detector.load_detector`.
        ImportError: It is a detector, and MMDetection is missing.
    """
    checkpoint = load_plain_checkpoint(path)
    if not is_detector(checkpoint):
        return load_classifier(path, checkpoint)
    import uscl_plugin.compat.mmcv_ops  # noqa: F401 (before MMDetection)
    from uscl_plugin.detection.lesion_detector import load_detector

    return load_detector(path, checkpoint)


def is_detector(checkpoint: Mapping[str, Any]) -> bool:
    """Whether the model in a checkpoint has a head of a detector."""
    model = config_literals(str(checkpoint_meta(checkpoint).get('cfg', '')), ('model',)).get('model')
    return isinstance(model, dict) and bool({'rpn_head', 'roi_head', 'bbox_head'} & model.keys())
