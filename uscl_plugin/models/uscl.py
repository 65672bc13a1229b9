"""The USCL algorithm."""

from typing import Any

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from uscl_plugin.compat.backbone_io import pool

# Side up to which oneDNN convolves maps faster as NCHW (512 channels of 2 x 2, forward: 2.5 times); at 14 px both tie
_SMALL_MAP = 8


@MODELS.register_module()
class USCL(BaseSelfSupervisor):
    """Ultrasound semi-supervised contrastive learning (Chen et al., MICCAI 2021).

    Both views of all videos go through the backbone in one pass, so that batch norm sees them together and updates its
    statistics once per step. ``mode='tensor'`` returns the backbone's features.

    Args:
        backbone: Config of a backbone that returns a tuple whose last entry is (N, C, H, W) or (N, C).
        neck: Config of the projection, called with and returning a one-tuple.
        head: Config of the head, usually :class:`USCLHead`.
        data_preprocessor: Config; without a type, :class:`mmpretrain.models.SelfSupDataPreprocessor`.
        channels_last: Store images as NHWC, except maps of at most 8 px on a CPU. This changes results only by
            rounding, and a step takes about a fifth less time there. Only for backbones on images (N, C, H, W).
        pretrained: Checkpoint to start from.
        init_cfg: Initialisation of MMEngine's modules.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        data_preprocessor: dict | None = None,
        channels_last: bool = True,
        pretrained: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            pretrained=pretrained,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self._is_checked = False
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        if channels_last:
            for stage in self.backbone.children():
                stage.register_forward_pre_hook(_lay_out_small_maps)

    def embed(self, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Embed the views of a batch of videos in one pass.

        Args:
            inputs: V views, each (N, 3, H, W), normalised.

        Returns:
            Representation (VN, C), the pooled backbone features, and projection (VN, D); view by view.
        """
        images = torch.cat(list(inputs)).contiguous(memory_format=self.memory_format)  # (VN, 3, H, W)
        features = self.extract_feat(images)[-1]  # (VN, C, h, w) or (VN, C)
        representation = pool(features)
        if not self._is_checked:
            self._check_widths(features)
        return representation, self.neck((features,))[0]

    def _check_widths(self, features: Tensor) -> None:
        """Name the settings to change, before a layer fails."""
        channels, settings = features.shape[1], []
        own = next((layer.in_features for layer in self.neck.modules() if isinstance(layer, nn.Linear)), channels)
        if own != channels:
            settings.append(f'model.neck.in_channels={channels}')
        classifier = getattr(self.head, 'classifier', None)
        takes_features = getattr(self.head, 'cls_input', '') == 'representation'
        if takes_features and classifier is not None and classifier.in_features != channels:
            settings.append(f'model.head.in_channels={channels}')
        if features.ndim == 2 and getattr(self.neck, 'with_avg_pool', False):
            settings.append('model.neck.with_avg_pool=False')
        if settings:
            kind = 'a map' if features.ndim == 4 else 'a vector'
            raise ValueError(
                f'{type(self.backbone).__name__} returns {kind} of {channels} channels: set {", ".join(settings)}.'
            )
        self._is_checked = True

    def loss(self, inputs: list[Tensor], data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Compute the losses of a batch of videos.

        Args:
            inputs: The two views, each (N, 3, H, W), normalised.
            data_samples: N samples; see :meth:`USCLHead.loss`.

        Returns:
            The head's dict of scalars.

        Raises:
            ValueError: There are not exactly two views.
        """
        if not isinstance(inputs, list | tuple) or len(inputs) != 2:
            found = f'{len(inputs)} views' if isinstance(inputs, list | tuple) else f'a tensor {tuple(inputs.shape)}'
            raise ValueError(f'USCL takes two views of each video, got {found}: end the pipeline with MixFrames.')
        return self.head.loss(*self.embed(inputs), data_samples)


def _lay_out_small_maps(stage: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Forward pre-hook: use NCHW for small maps on a CPU."""
    if not inputs or not isinstance(images := inputs[0], Tensor) or images.ndim != 4 or images.device.type != 'cpu':
        return None
    return (images.contiguous(), *inputs[1:]) if max(images.shape[2:]) <= _SMALL_MAP else None
