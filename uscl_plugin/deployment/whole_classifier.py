"""A classifier with its preparation of frames as one ONNX graph."""

import contextlib
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uscl.clips.frame_preparation import prepare_clip
from uscl.inference.onnx_classifier import COLOR, FRAMES, OUTPUTS, run_frames
from uscl.inference.sealed_model import start_session
from uscl_plugin.compat.backbone_io import pool
from uscl_plugin.evaluation.classifier import FrameClassifier
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.onnx_export import trace

from .frame_input import FrameInput

TOLERANCE = 1e-4  # of probabilities
FRAMES_RULE = (
    'uint8 (N, H, W, C): the N frames of one clip as a player shows them, of any size; C = 1 grey, C = 3 RGB. They '
    'become grey, smaller and square in here, as the training data were'
)
_SHAPES = ((2, 300, 410, 3), (3, 64, 80, 1), (1, 270, 480, 3))


class WholeClassifier(nn.Module):
    """Frames → class probabilities and pooled features.

    Args:
        classifier: The classifier; it is not changed.
    """

    def __init__(self, classifier: FrameClassifier) -> None:
        super().__init__()
        self.frame_input = FrameInput(classifier.settings, classifier.size)
        self.network = deepcopy(classifier.model).cpu().float()
        self.eval()

    def forward(self, frames: Tensor, color: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C) and (N, D) float32, of (N, H, W, 1 or 3) uint8; see :class:`.FrameInput`."""
        levels = self.frame_input(frames, color).flip(1)  # BGR, as the preprocessor takes them
        maps = self.network.backbone(self.network.data_preprocessor({'inputs': levels})['inputs'])
        scores = self.network.head(self.network.neck(maps) if self.network.with_neck else maps)
        return scores.softmax(dim=1), pool(maps)


def trace_classifier(classifier: FrameClassifier, name: str) -> tuple[bytes, float]:
    """The graph, compared with the classifier on noise.

    Args:
        classifier: The classifier.
        name: Of its file, for messages.

    Returns:
        A serialised ONNX model with the inputs ``frames`` and ``color`` (false unless it is given), and the outputs
        ``probabilities`` and ``features``; and the largest difference of a probability. The number of frames is free,
        or 1 if the network allows no more.

    Raises:
        CheckpointError: A package is missing, or the probabilities differ by more than :data:`TOLERANCE`.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise CheckpointError(f"--to onnx-model needs {error.name}: pip install 'uscl_plugin[export]'.") from error
    whole, difference = WholeClassifier(classifier), np.inf
    for number in (2, 1):
        axes = {FRAMES: {1: 'H', 2: 'W', 3: 'C'}} | ({output: {} for output in OUTPUTS})
        if number > 1:
            axes = {each: {0: 'N'} | names for each, names in axes.items()}
        with contextlib.suppress(Exception):  # dynamic shapes fail in many ways
            inputs = {FRAMES: torch.zeros(number, 48, 64, 3, dtype=torch.uint8), COLOR: torch.tensor([False])}
            model = onnx.load_from_string(trace(whole, inputs, OUTPUTS, axes))
            model.graph.initializer.append(onnx.helper.make_tensor(COLOR, onnx.TensorProto.BOOL, [1], [False]))
            _describe(model.graph, classifier.classes)
            onnx.checker.check_model(model, full_check=True)
            content = model.SerializeToString()
            difference = _largest_difference(start_session(content), classifier)
            if difference <= TOLERANCE:
                return content, difference
    raise CheckpointError(
        f'{name}: probabilities of ONNX Runtime and PyTorch differ by {difference:.2g}: try another version of '
        f'torch or onnxruntime.'
    )


def _describe(graph: Any, classes: Sequence[str]) -> None:
    frames, color = graph.input
    frames.doc_string = FRAMES_RULE
    color.doc_string = 'optional: true keeps frames in colour although all of them are nearly grey'
    graph.output[0].doc_string = f'float32 (N, {len(classes)}), of each frame: {", ".join(classes)}'
    graph.output[1].doc_string = 'float32 (N, D), pooled features of the backbone'


def _largest_difference(session: Any, classifier: FrameClassifier) -> float:
    """Of a probability, over a few clips of noise, as they are stored; of whole frames, a hundredth of it.

    The average over areas ends on a half for one pixel of some thousands, which OpenCV rounds by the order of its sums.
    """
    rng, found = np.random.default_rng(0), []
    settings = classifier.settings
    for shape in _SHAPES:
        frames = rng.integers(0, 256, shape, dtype=np.uint8)
        stored = prepare_clip(np.broadcast_to(frames, (*shape[:3], 3)), settings.size, settings.color)
        pixels = classifier.resize(
            [np.atleast_3d(each).repeat(3 // np.atleast_3d(each).shape[2], 2) for each in stored]
        )
        wanted, _ = classifier.run(pixels)
        whole = list(frames if shape[3] == 3 else frames[..., 0])
        found += [np.abs(run_frames(session, stored)[0] - wanted).max()]
        found += [np.abs(run_frames(session, whole, color=False)[0] - wanted).max() / 100]
    return float(max(found))
