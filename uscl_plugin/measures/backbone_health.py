"""Does a backbone use its residual branches, and how many directions do its features have?"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uscl.stats.effective_rank import effective_rank
from uscl_plugin.compat.backbone_io import pool

from .features import evaluating, extract_features
from .residual_branches import BranchWatch

MAX_FRAMES = 256  # measured in evaluations and reports
MIN_IMAGES = 8  # for a rank, which fewer images would limit

# Share of its branches below which a stage counts as closed, if branches end in batch norm. The demo, 200 steps of Adam
# at 3e-4 with branches starting at 0, ended with 0.008 to 0.022 in its stages; with open branches, 0.46 to 0.54. On 64
# and 128 lung frames of 64 px, ResNet-18 has at most 0.08 if its last norms have weights of ±0.06, the furthest that
# 200 steps can take them. Open branches have at least 0.37 (ResNet-18; 0.16 at 32 px, where maps of layer4 are 1 px),
# 0.47 (ResNet-50), 0.33 (SE-ResNet-50), 0.28 (ResNeXt-50) and 0.27 (RegNet), the last two once batch norm has seen its
# images.
SHUT_BATCH_NORM = 0.1
# The same for all others, whose branches are as large as their last weights: those with a layer scale of 1e-5 or 1e-6
# have at most 2e-5 (ConvNeXt, PoolFormer, DeiT III), untrained networks without it 0.016 to 0.3 (ConvNeXt, ViT, DeiT,
# Swin).
SHUT_OTHERS = 0.005
# Effective rank below which features count as collapsed. Untrained ResNets have at least 1.8 on 8 lung frames and 4.8
# on 64; with deviations from the mean reduced to a thirtieth, 1.04 to 1.18.
COLLAPSED = 1.3


@dataclass(frozen=True)
class BackboneHealth:
    """Measurements of a backbone on N images.

    Attributes:
        branches: Stage → share of its residual branches, in [0, 1]: see :class:`~.residual_branches.BranchWatch`. Empty
            for a network without branches, and for one image.
        effective_rank: Effective rank of the pooled features: see :func:`~uscl.stats.effective_rank.effective_rank`.
            None for fewer than :data:`MIN_IMAGES` images, and if features are not finite.
        max_rank: min(N, C).
        num_images: N.
        has_batch_norm: Whether the network has batch norm, so that open branches are about as large as their shortcuts.
    """

    branches: dict[str, float]
    effective_rank: float | None
    max_rank: int
    num_images: int
    has_batch_norm: bool

    def as_dict(self) -> dict[str, Any]:
        """The measurements as plain values, for JSON."""
        return {
            'branches': self.branches,
            'effective_rank': self.effective_rank,
            'max_rank': self.max_rank,
            'images': self.num_images,
        }

    def __str__(self) -> str:
        shares = ', '.join(f'{stage} {share:.3f}' for stage, share in self.branches.items())
        rank = (
            f'effective rank not measured on {self.num_images} images'
            if self.effective_rank is None
            else f'effective rank {self.effective_rank:.1f} of at most {self.max_rank}'
        )
        return f'share of residual branches: {shares or "not measured"}; {rank}'


def measure_backbone(network: nn.Module, batches: Iterable[Tensor]) -> BackboneHealth:
    """Measure a backbone on training input, leaving the backbone and the random state unchanged.

    Args:
        network: (N, …) → (N, C, H, W) or (N, C), or a sequence of such tensors, of which the last is used.
        batches: Batches of normalised images, on the network's device.

    Raises:
        ValueError: There are no batches.
    """
    features = []
    with evaluating(network), torch.no_grad(), BranchWatch(network) as watch:
        for images in batches:
            with torch.autocast(images.device.type, enabled=False):
                features.append(pool(network(images.float())).float().cpu())
    if not features:
        raise ValueError('There are no images to measure a backbone on.')
    return _health(network, watch, torch.cat(features).numpy())


def measure_frames(network: nn.Module, frames: Iterable[np.ndarray], size: int, **settings: Any) -> BackboneHealth:
    """Measure a backbone on frames as read; see :func:`~.features.extract_features` for the arguments."""
    with BranchWatch(network) as watch:
        features = extract_features(network, frames, size, **settings)
    return _health(network, watch, features)


def spread_evenly(total: int, at_most: int = MAX_FRAMES) -> list[int]:
    """Indices of at most so many of all frames, evenly spaced.

    >>> spread_evenly(10, 4), spread_evenly(2)
    ([0, 3, 6, 9], [0, 1])
    """
    return np.unique(np.linspace(0, total - 1, min(total, at_most)).round().astype(int)).tolist()


def health_warning(health: BackboneHealth) -> str | None:
    """What is wrong with a backbone, and the remedy; None if nothing is wrong."""
    limit = SHUT_BATCH_NORM if health.has_batch_norm else SHUT_OTHERS
    shut = {stage: share for stage, share in health.branches.items() if share < limit}
    found = []
    if shut:
        shares = ', '.join(f'{stage} {share:.3g}' for stage, share in shut.items())
        found.append(
            f'residual branches are closed, so that their layers do nothing: their share is below {limit:g} in '
            f'{shares}. Train again with open ones: zero_init_residual=False (MMPretrain, MMDetection), '
            f'zero_init_last=False (timm) or layer_scale_init_value=1; a short run does not open what starts at 0'
        )
    if health.effective_rank is not None and health.effective_rank < COLLAPSED:
        found.append(
            f'the features have collapsed: their effective rank is {health.effective_rank:.2f} of at most '
            f'{health.max_rank}, below {COLLAPSED:g}, so that all {health.num_images} images look alike. Use an '
            f'earlier checkpoint or a lower learning rate, and check that images differ '
            f'(tools/visualization/browse_pairs.py)'
        )
    return '. Also, '.join(found) + '.' if found else None


def _health(network: nn.Module, watch: BranchWatch, features: np.ndarray) -> BackboneHealth:
    can_rank = len(features) >= MIN_IMAGES and bool(np.isfinite(features).all())
    return BackboneHealth(
        branches=watch.shares(),
        effective_rank=effective_rank(features) if can_rank else None,
        max_rank=min(features.shape),
        num_images=len(features),
        has_batch_norm=any('BatchNorm' in type(module).__name__ for module in network.modules()),
    )
