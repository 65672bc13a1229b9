"""Where a fine-tuned classifier looks: class activation maps at the last convolution block (the paper's Fig. 4)."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_grad_cam as library
from mmcv.transforms import Compose
from mmengine.config import Config
from mmpretrain.datasets import remove_transform
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS, TRANSFORMS
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from uscl_plugin.datasets.pipeline_settings import dataset_pipeline
from uscl_plugin.weights.input_metadata import INPUT_KEYS, resolve_input, stored_metadata
from uscl_plugin.weights.plain_checkpoints import checkpoint_meta, load_plain_checkpoint
from uscl_plugin.weights.strict_loading import load_strictly

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
    return ActivationMap(heat, chosen, scores.softmax(dim=0).numpy())


class CamClassifier:
    """A fine-tuned classifier with its pipeline and class names, ready to map images.

    Args:
        cfg: Config of an MMPretrain ``ImageClassifier`` with a ResNet and a head; its ``test_dataloader`` defines how
            images are prepared.
        checkpoint: MMEngine checkpoint of a run with this config; nothing in it is executed. Images are normalised as
            stated by the config in its ``meta``, or by ``cfg`` if there is none, since networks that started from
            different weights may differ only in that.

    Attributes:
        classes: C names: the checkpoint's, otherwise the config's, otherwise the indices.

    Raises:
        ValueError: The config is of another kind.
        FileNotFoundError: The checkpoint does not exist.
        CheckpointError: The checkpoint is not readable, or its tensors do not match the network exactly.
    """

    def __init__(self, cfg: Config, checkpoint: str | Path) -> None:
        name = Path(cfg.filename or 'the config').name
        if 'model' not in cfg or 'test_dataloader' not in cfg:
            raise ValueError(f'{name} has no model or no test_dataloader: pass a fine-tuning config.')
        saved = load_plain_checkpoint(checkpoint)
        meta = checkpoint_meta(saved)
        self.network: Any = _build(cfg, _stored_input(checkpoint, meta))
        if not isinstance(self.network, ImageClassifier) or not self.network.with_head:
            raise ValueError(
                f'{name} has the model {cfg.model.type}, which has no class scores: pass a fine-tuning config '
                f'(ImageClassifier with a head).'
            )
        if not hasattr(self.network.backbone, 'res_layers'):
            raise ValueError(f'{name} has the backbone {cfg.model.backbone.type}: only ResNets are supported.')
        state = saved.get('state_dict', saved)
        remedy = f'pass a checkpoint of a run with {name}'
        if isinstance(state, Mapping) and not any(str(key).startswith('head.') for key in state):
            remedy = f'fine-tune it with {name} first, then pass the checkpoint of that run'
        load_strictly(self.network, saved, checkpoint, remedy)
        self.network.eval()
        dataset = cfg.test_dataloader.dataset
        steps = remove_transform(remove_transform(dataset_pipeline(dataset), 'LoadFrame'), 'LoadImageFromFile')
        self.pipeline = Compose([TRANSFORMS.build(step) for step in steps])
        self._only_resizes = all(
            step['type'] in ('AntialiasedResize', 'PackInputs')
            or (step['type'] == 'Resize' and not step.get('keep_ratio'))
            for step in steps
        )
        named = (meta.get('dataset_meta') or {}).get('classes') or dataset.get('classes') or ()
        count = self.network.head.num_classes
        self.classes = list(named) if len(named) == count else [str(index) for index in range(count)]

    def find_class(self, target: str) -> int:
        """Index of a class, given its name or index.

        Raises:
            ValueError: There is no such class.
        """
        if target in self.classes:
            return self.classes.index(target)
        if target.isdecimal() and int(target) < len(self.classes):
            return int(target)
        raise ValueError(
            f'--target {target} is not a class: pass one of {", ".join(self.classes)}, or 0 to {len(self.classes) - 1}.'
        )

    def prepare(self, image: np.ndarray) -> Tensor:
        """Prepare an image as network input, before normalisation.

        Args:
            image: (H, W, 3) uint8, BGR.

        Returns:
            (3, S, S) in [0, 255], BGR.
        """
        size = image.shape[:2]
        return self.pipeline({'img': image, 'img_shape': size, 'ori_shape': size})['inputs']

    def shown(self, image: np.ndarray, prepared: Tensor) -> np.ndarray:
        """The picture to draw the map on, aligned with it: the image itself, or the network's input if that is a crop.

        Args:
            image: The input of :meth:`prepare`.
            prepared: Its output.

        Returns:
            (H, W, 3) uint8, RGB.
        """
        picture = image if self._only_resizes else prepared.permute(1, 2, 0).numpy()
        return np.ascontiguousarray(picture[..., ::-1])

    def map_image(self, prepared: Tensor, target: int | None = None, method: str = 'gradcam') -> ActivationMap:
        """Map an output of :meth:`prepare`; see :func:`activation_map`."""
        inputs = self.network.data_preprocessor({'inputs': prepared[None]})['inputs']
        layer = getattr(self.network.backbone, self.network.backbone.res_layers[-1])[-1]
        return activation_map(self.network, layer, inputs, target, method)


def _stored_input(checkpoint: str | Path, meta: Mapping) -> dict:
    """Normalisation stated in a checkpoint's ``meta``: ``mean``, ``std``, ``to_rgb``; empty if there is none."""
    stored = stored_metadata(meta)
    if not stored.keys() >= set(INPUT_KEYS):
        return {}
    settled = resolve_input(checkpoint, stored, {})
    return {'mean': settled['mean'], 'std': settled['std'], 'to_rgb': settled['channel_order'] == 'rgb'}


def _build(cfg: Config, normalisation: Mapping) -> nn.Module:
    """The network as MMEngine's runner builds it, but with another normalisation; no weights are loaded."""
    model = copy.deepcopy(cfg.model)
    preprocessor = model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    model.data_preprocessor = dict(copy.deepcopy(preprocessor), **normalisation)
    return MODELS.build(model)
