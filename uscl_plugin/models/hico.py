"""HiCo: contrastive learning of local, medium and global features of ultrasound videos."""

from collections.abc import Sequence

import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from .uscl import USCL


@MODELS.register_module()
class HiCo(USCL):
    """HiCo (Zhang et al., ACCV 2022) on USCL's pairs.

    The neck embeds whole maps, so it is built for one input size, with the shapes of the backbone's maps at that size.
    Exported backbones take any size. ``embed`` gives the global embedding as the projection, so what is monitored is
    the global level.

    Args:
        backbone: Config of a backbone with four stages; all of them are used, whatever its ``out_indices``.
        neck: Config of the :class:`LevelNeck`, without ``in_shapes``.
        head: Config of the :class:`HiCoHead`.
        input_size: Height and width of the views in pixels.
        **kwargs: Further arguments of :class:`USCL`.
    """

    def __init__(self, backbone: dict, neck: dict, head: dict, input_size: int = 224, **kwargs: object) -> None:
        network = MODELS.build({**backbone, 'out_indices': (0, 1, 2, 3)})
        image = torch.zeros(1, backbone.get('in_channels', 3), input_size, input_size)
        network.eval()
        with torch.no_grad():
            shapes = [tuple(each.shape[1:]) for each in network(image)]
        network.train()
        super().__init__(network, {**neck, 'in_shapes': shapes}, head, **kwargs)  # type: ignore[arg-type]
        self.input_size = input_size

    def embed(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Representation (VN, C) and global embedding (VN, D) of V views; see :meth:`USCL.embed`."""
        representation, levels = self.embed_levels(inputs)
        return representation, levels[-1]

    def embed_levels(self, inputs: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Embed the views of a batch of videos in one pass.

        Args:
            inputs: V views, each (N, 3, S, S), normalised.

        Returns:
            Representation (VN, C), the pooled backbone features, and local, medium and global embedding (VN, D).

        Raises:
            ValueError: The views have another size than the neck.
        """
        images = torch.cat(list(inputs)).contiguous(memory_format=self.memory_format)
        if tuple(images.shape[2:]) != (self.input_size, self.input_size):
            found = f'views of {images.shape[2]} x {images.shape[3]} px'
            raise ValueError(
                f'HiCo was built for {self.input_size} px, got {found}: set model.input_size to their side.'
            )
        maps = self.extract_feat(images)
        return maps[-1].mean(dim=(2, 3)), self.neck(maps)

    def loss(self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the losses of a batch of videos.

        Args:
            inputs: The two views, each (N, 3, S, S), normalised.
            data_samples: N samples; unlabelled if ``gt_label`` is -1 or missing.

        Returns:
            The head's dict of scalars.
        """
        return self.head.loss(*self.embed_levels(inputs), data_samples)
