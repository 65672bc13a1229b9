"""A head for pairs that have weights, without labels."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor


@MODELS.register_module()
class WeightedPairHead(BaseModule):
    """Contrastive loss on the projection, with the weights that :class:`SampleNearbyPair` gave the pairs.

    Args:
        loss_contrastive: Config of the loss, called with two (N, C) tensors and (N,) weights.
        init_cfg: Initialisation of MMEngine's modules.
    """

    def __init__(self, loss_contrastive: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.loss_contrastive = MODELS.build(loss_contrastive)

    def loss(self, representation: Tensor, projection: Tensor, data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            representation: Not used.
            projection: (2N, D) output of the neck, all N first views before the N second ones.
            data_samples: N samples with ``pair_weight``.

        Returns:
            ``loss_contrastive``, and ``pair_weight``, the mean of the weights.

        Raises:
            ValueError: A sample has no weight.
        """
        found = [sample.get('pair_weight') for sample in data_samples]
        if None in found:
            raise ValueError(
                f'video {data_samples[found.index(None)].get("video_id", "(no id)")!r} has no pair_weight: begin the '
                f'pipeline with SampleNearbyPair, and list pair_weight in the meta_keys of PackInputs.'
            )
        weights = torch.tensor(found, dtype=torch.float32, device=projection.device)
        return {
            'loss_contrastive': self.loss_contrastive(*projection.chunk(2), weights),
            'pair_weight': weights.mean(),
        }
