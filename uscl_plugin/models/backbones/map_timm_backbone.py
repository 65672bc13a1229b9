"""timm's networks as backbones that end with a map, and that keep the weights with which timm starts them."""

from typing import Any

from mmpretrain.models import TIMMBackbone
from mmpretrain.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class MapTIMMBackbone(TIMMBackbone):
    """A timm network as a backbone with feature maps (N, C, h, w), which necks, CAMs and detectors take.

    It differs from MMPretrain's ``TIMMBackbone`` in two ways. The output of that class is what the network returns, for
    vision transformers tokens (N, L, C), for Swin a map (N, h, w, C); here class and register tokens are left out, and
    patch tokens put back into their grid. And that class initialises timm's network anew with timm's defaults, so that
    ``zero_init_last=False`` (residual branches that are open from the start) has no effect; here it stays as built.

    Args:
        model_name: Name of a timm model.
        **kwargs: Further arguments of :class:`mmpretrain.models.TIMMBackbone`.
    """

    def __init__(self, model_name: str, **kwargs: Any) -> None:
        super().__init__(model_name, **kwargs)
        self.timm_model.init_weights = _as_built

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) to a tuple of one (N, C, h, w), or of several with ``features_only``."""
        *earlier, last = super().forward(x)
        if last.ndim == 3:
            last = last[:, getattr(self.timm_model, 'num_prefix_tokens', 0) :].transpose(1, 2)
            sides = zip(x.shape[2:], self.timm_model.patch_embed.patch_size, strict=True)
            last = last.unflatten(2, tuple(side // patch for side, patch in sides))
        elif last.ndim == 4 and getattr(self.timm_model, 'output_fmt', 'NCHW') == 'NHWC':
            last = last.permute(0, 3, 1, 2)
        return (*earlier, last)


def _as_built() -> None:
    """Called by MMEngine in place of timm's initialisation, which the network has already had."""
