"""The head of Meta-USCL: NT-Xent with a learnt weight for each pair."""

from collections.abc import Sequence
from functools import partial

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.optim.adam import adam

from ..losses.weighted_pairs import pair_losses, weighted_pair_loss

_MOMENTS = ('steps', 'mean', 'square')  # of Adam


@MODELS.register_module()
class PairWeightHead(BaseModule):
    """Weights pairs by ``σ(a₂ᵀ ReLU(A₁ (h ⊕ h') + b₁) + b₂)``, of the representations of both views.

    The weight net has its own Adam, whose moments are buffers, so that checkpoints hold them. The run's optimiser has
    its weights, too, but they never have a gradient there.

    Args:
        in_channels: Width of a representation (512 for ResNet-18).
        loss_contrastive: Config of the unweighted contrastive loss, which has a temperature.
        hid_channels: Width of the weight net.
        lr: Its learning rate > 0.
        init_cfg: Initialisation of MMEngine's modules.
    """

    def __init__(
        self,
        in_channels: int,
        loss_contrastive: dict,
        hid_channels: int = 10,
        lr: float = 6e-5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.lr = lr
        self.loss_contrastive = MODELS.build(loss_contrastive)
        self.weight_net = nn.Sequential(
            nn.Linear(2 * in_channels, hid_channels), nn.ReLU(), nn.Linear(hid_channels, 1), nn.Sigmoid()
        )
        for place, parameter in enumerate(self.weight_net.parameters()):
            for name in _MOMENTS:
                start = torch.zeros(()) if name == 'steps' else torch.zeros_like(parameter.data)
                self.register_buffer(f'{name}{place}', start)

    def weigh(self, representation: Tensor) -> Tensor:
        """(2N, C) representations, all first views before the second ones, to (N,) weights in (0, 1)."""
        return self.weight_net(torch.cat(representation.chunk(2), dim=1)).squeeze(1)

    def loss(self, projection: Tensor, weights: Tensor) -> Tensor:
        """:func:`~uscl_plugin.models.losses.weighted_pairs.weighted_pair_loss` of (2N, D) projections."""
        first, second = projection.chunk(2)
        return weighted_pair_loss(pair_losses(first, second, self.loss_contrastive.temperature), weights)

    @torch.no_grad()
    def update_weight_net(self, gradients: Sequence[Tensor]) -> None:
        """Take a step of Adam with the gradients of the weight net's parameters."""
        places = range(len(gradients))
        steps, means, squares = ([getattr(self, f'{name}{place}') for place in places] for name in _MOMENTS)
        parameters: list[Tensor] = list(self.weight_net.parameters())
        functional = partial(adam, beta1=0.9, beta2=0.999, lr=self.lr, eps=1e-8, weight_decay=0.0)
        functional(parameters, list(gradients), means, squares, [], steps, amsgrad=False, maximize=False, foreach=False)
