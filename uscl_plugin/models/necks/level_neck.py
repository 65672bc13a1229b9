"""The neck of HiCo: a feature pyramid, and an embedding of three of its levels."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class LevelNeck(BaseModule):
    """Local, medium and global embeddings of a backbone's last four maps C2 … C5.

    Maps come down as in a feature pyramid: ``T5 = 1x1(C5)``, ``T_k = up(T_k+1) + 1x1(C_k)``, bilinear, without norms or
    activations; ``P2 = 3x3(T2)``, ``P3 = 3x3(T3)``, ``P5 = T5``. An embedding is ``W' ReLU(W vec(P))`` of P2 (local),
    P3 (medium) or P5 (global), so the size of the input is fixed.

    Args:
        in_shapes: Channels, height and width of C2 … C5; :class:`HiCo` fills them in.
        channels: Channels of the pyramid.
        out_channels: Width of the embeddings and of their hidden layer.
        init_cfg: Initialisation of MMEngine's modules.
    """

    def __init__(
        self,
        in_shapes: Sequence[Sequence[int]],
        channels: int = 256,
        out_channels: int = 256,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.lateral = nn.ModuleList(nn.Conv2d(shape[0], channels, 1) for shape in in_shapes)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))  # P2, P3
        self.embeddings = nn.ModuleList(
            nn.Sequential(
                nn.Flatten(),
                nn.Linear(channels * in_shapes[level][1] * in_shapes[level][2], out_channels),
                nn.ReLU(),
                nn.Linear(out_channels, out_channels),
            )
            for level in (0, 1, 3)
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Embed the maps.

        Args:
            maps: C2 … C5, each (N, C, h, w).

        Returns:
            Local, medium and global embedding, each (N, out_channels).
        """
        merged = [lateral(each) for lateral, each in zip(self.lateral, maps, strict=True)]
        for level in (2, 1, 0):
            above = F.interpolate(merged[level + 1], merged[level].shape[2:], mode='bilinear', align_corners=False)
            merged[level] = merged[level] + above
        levels = (self.smooth[0](merged[0]), self.smooth[1](merged[1]), merged[3])
        return tuple(embed(level) for embed, level in zip(self.embeddings, levels, strict=True))
