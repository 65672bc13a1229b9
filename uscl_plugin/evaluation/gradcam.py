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

# Those that tell classes apart and need one forward and one backward pass.
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
    """What one classifier makes of one image.

    Attributes:
        heat: (H, W) float32 in [0, 1], of the size of the network's input; all 0 if nothing speaks for the class.
        target: Index of the class that the map is for.
        probabilities: (C,) float32, sum to 1.
    """

    heat: np.ndarray
    target: int
    probabilities: np.ndarray


def activation_map(
    network: nn.Module, layer: nn.Module, inputs: Tensor, target: int | None = None, method: str = 'gradcam'
) -> ActivationMap:
    """Class activation map of one image by the library pytorch-grad-cam.

    Grad-CAM (Selvaraju et al., ICCV 2017) adds up the layer's channels, each weighted by the mean over space of the
    class score's gradient, and keeps what is above 0. The map is scaled to [0, 1] for each image, so that the heat of
    two maps cannot be compared.

    Args:
        network: (1, 3, H, W) → (1, C) class scores before the softmax.
        layer: The part of it whose output (1, K, h, w) is mapped.
        inputs: (1, 3, H, W), normalised.
        target: Class index; None takes the predicted class.
        method: One of :data:`METHODS`.

    Returns:
        The map with the prediction.
    """
    cam = METHODS[method](network, [layer])
    try:
        # Of the input, too, for gradients also arise where stages are frozen.
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
        cfg: Config of an MMPretrain ``ImageClassifier`` with a ResNet and a head; its ``test_dataloader`` says how
            images are prepared.
        checkpoint: MMEngine's checkpoint of a run with this config; nothing in it is executed. Images are normalised
            as the config in its ``meta`` says, or as ``cfg`` does if there is none: networks that started from
            different weights may share all but that.

    Attributes:
        classes: C names: the checkpoint's, else the config's, else the indices.

    Raises:
        ValueError: The config is another kind.
        FileNotFoundError: There is no such checkpoint.
        CheckpointError: It is not readable, or its tensors are not exactly those of the network.
    """

    def __init__(self, cfg: Config, checkpoint: str | Path) -> None:
        name = Path(cfg.filename or 'the config').name
        if 'model' not in cfg or 'test_dataloader' not in cfg:
            raise ValueError(f'{name} has no model or no test_dataloader: pass the config of a fine-tuning.')
        saved = load_plain_checkpoint(checkpoint)
        meta = checkpoint_meta(saved)
        self.network: Any = _build(cfg, _stored_input(checkpoint, meta))
        if not isinstance(self.network, ImageClassifier) or not self.network.with_head:
            raise ValueError(
                f'{name} has the model {cfg.model.type}, which has no class scores: pass the config of a fine-tuning '
                f'(ImageClassifier with a head).'
            )
        if not hasattr(self.network.backbone, 'res_layers'):
            raise ValueError(f'{name} has the backbone {cfg.model.backbone.type}: only maps of a ResNet are made here.')
        state = saved.get('state_dict', saved)
        remedy = f'pass a checkpoint of a run with {name}'
        if isinstance(state, Mapping) and not any(str(key).startswith('head.') for key in state):
            remedy = f'fine-tune it with {name} first, and pass the checkpoint of that run'
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
        """Index of a class given by its name or its index.

        Raises:
            ValueError: There is no such class.
        """
        if target in self.classes:
            return self.classes.index(target)
        if target.isdecimal() and int(target) < len(self.classes):
            return int(target)
        raise ValueError(
            f'--target {target} is no class: pass one of {", ".join(self.classes)}, or 0 to {len(self.classes) - 1}.'
        )

    def prepare(self, image: np.ndarray) -> Tensor:
        """An image as the network gets it before normalisation.

        Args:
            image: (H, W, 3) uint8; blue, green, red.

        Returns:
            (3, S, S), likewise in [0, 255] and of this channel order.
        """
        size = image.shape[:2]
        return self.pipeline({'img': image, 'img_shape': size, 'ori_shape': size})['inputs']

    def shown(self, image: np.ndarray, prepared: Tensor) -> np.ndarray:
        """The picture that a map lies on, edge to edge: the image itself, or the network's input if that is a crop.

        Args:
            image: What :meth:`prepare` got.
            prepared: What it returned.

        Returns:
            (H, W, 3) uint8; red, green, blue.
        """
        picture = image if self._only_resizes else prepared.permute(1, 2, 0).numpy()
        return np.ascontiguousarray(picture[..., ::-1])

    def map_image(self, prepared: Tensor, target: int | None = None, method: str = 'gradcam') -> ActivationMap:
        """Map what :meth:`prepare` returned; see :func:`activation_map`."""
        inputs = self.network.data_preprocessor({'inputs': prepared[None]})['inputs']
        layer = getattr(self.network.backbone, self.network.backbone.res_layers[-1])[-1]
        return activation_map(self.network, layer, inputs, target, method)


def _stored_input(checkpoint: str | Path, meta: Mapping) -> dict:
    """Normalisation that a checkpoint's ``meta`` states: ``mean``, ``std``, ``to_rgb``; empty if it does not."""
    stored = stored_metadata(meta)
    if not stored.keys() >= set(INPUT_KEYS):
        return {}
    settled = resolve_input(checkpoint, stored, {})
    return {'mean': settled['mean'], 'std': settled['std'], 'to_rgb': settled['channel_order'] == 'rgb'}


def _build(cfg: Config, normalisation: Mapping) -> nn.Module:
    """The network as MMEngine's runner builds it, with another normalisation; no weights are loaded."""
    model = copy.deepcopy(cfg.model)
    preprocessor = model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    model.data_preprocessor = dict(copy.deepcopy(preprocessor), **normalisation)
    return MODELS.build(model)
