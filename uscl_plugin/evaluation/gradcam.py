"""Where a fine-tuned classifier looks: class activation maps on the last feature map (the paper's Fig. 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_grad_cam as library
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from .classifier import FrameClassifier

# Methods that distinguish classes and need one forward and one backward pass.
METHODS = {
    'gradcam': library.GradCAM,
    'gradcam++': library.GradCAMPlusPlus,
    'xgradcam': library.XGradCAM,
    'hirescam': library.HiResCAM,
    'layercam': library.LayerCAM,
    'eigengradcam': library.EigenGradCAM,
}


@dataclass(frozen=True)
class ActivationMap:
    """The result of one classifier on one image.

    Attributes:
        heat: (H, W) float32 in [0, 1], at the network's input size; all 0 if there is no evidence for the class.
        target: Index of the class that is mapped.
        probabilities: (C,) float32, sum to 1.
    """

    heat: np.ndarray
    target: int
    probabilities: np.ndarray


def activation_map(
    network: nn.Module, layer: nn.Module, inputs: Tensor, target: int | None = None, method: str = 'gradcam'
) -> ActivationMap:
    """Class activation map of one image, computed with pytorch-grad-cam.

    Grad-CAM (Selvaraju et al., ICCV 2017) sums the layer's channels, each weighted by the spatial mean of the class
    score's gradient, and keeps the positive part. The map is scaled to [0, 1] for each image, so the heat of different
    maps cannot be compared.

    Args:
        network: (1, 3, H, W) → (1, C) class scores before the softmax.
        layer: The submodule whose output (1, K, h, w) is mapped.
        inputs: (1, 3, H, W), normalised.
        target: Class index; None takes the predicted class.
        method: One of :data:`METHODS`.

    Returns:
        The map with the prediction.
    """
    cam = METHODS[method](network, [layer])
    try:
        # Require gradients of the input, too, so that they also exist where stages are frozen.
        heat = cam(inputs.detach().requires_grad_(), None if target is None else [ClassifierOutputTarget(target)])[0]
        scores = cam.outputs.detach()[0]
    finally:
        cam.activations_and_grads.release()
        network.zero_grad()
    chosen = int(scores.argmax()) if target is None else target
    return ActivationMap(heat, chosen, scores.softmax(dim=0).cpu().numpy())


def find_class(classes: Sequence[str], target: str) -> int:
    """Index of a class, given its name or index.

    Raises:
        ValueError: There is no such class.
    """
    if target in classes:
        return classes.index(target)
    if target.isdecimal() and int(target) < len(classes):
        return int(target)
    raise ValueError(f'--target {target} is not a class: pass one of {", ".join(classes)}, or 0 to {len(classes) - 1}.')


def map_frame(classifier: FrameClassifier, pixels: Tensor, target: int, method: str = 'gradcam') -> ActivationMap:
    """Map one frame of a :class:`~.classifier.PreparedClip`, on the last map in its backbone.

    Args:
        classifier: The classifier.
        pixels: (3, S, S) uint8, BGR.
        target: Class index.
        method: One of :data:`METHODS`.

    Raises:
        ValueError: The backbone has no map, such as a vision transformer that gives its class token.
    """
    network = _Scores(classifier.model)
    inputs = classifier.inputs(pixels[None])
    with torch.no_grad():
        ends_with_map = network.backbone(inputs)[-1].ndim == 4
    layer = network.last if ends_with_map else last_map(network.backbone, inputs)
    return activation_map(network, layer, inputs, target, method)


def last_map(backbone: nn.Module, inputs: Tensor) -> nn.Module:
    """The last part of a backbone that returns a map, for backbones that pool, such as ConvNeXt.

    Raises:
        ValueError: No part returns a map larger than one pixel, as in a vision transformer that gives its class token.
    """
    found: list[nn.Module] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            found.append(module)

    handles = [module.register_forward_hook(note) for module in backbone.modules()]
    with torch.no_grad():
        backbone(inputs)
    for handle in handles:
        handle.remove()
    if len(found) < 3:  # of a vision transformer, the patches before anything was computed from them
        kind = type(backbone).__name__
        raise ValueError(f"{kind} has no map before its features: train it with out_type='featmap'.")
    return found[-1]


class _Scores(nn.Module):
    """An ``ImageClassifier`` whose last feature map is the output of a submodule, ``last``."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.head
        self.neck = model.neck if model.with_neck else None
        self.last = nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        """(1, 3, H, W) to (1, C)."""
        *earlier, last = self.backbone(inputs)
        maps = (*earlier, self.last(last))
        return self.head(maps if self.neck is None else self.neck(maps))
