"""NT-Xent with a weight for each pair."""

from mmpretrain.registry import MODELS
from torch import Tensor, nn

from .ntxent import LightlyNTXentLoss


@MODELS.register_module()
class WeightedNTXentLoss(LightlyNTXentLoss):
    """NT-Xent whose pairs count by their weights (IVPP, VanBerlo et al., 2024).

    For N pairs, ``1/N Σ_i w_i (ℓ_i + ℓ'_i)``, where ℓ and ℓ' are the terms of both views in
    :class:`LightlyNTXentLoss`: with weights of 1 it is twice that loss. The sum is divided by N and not by the sum of
    the weights, so pairs far apart also shorten the step.

    Args:
        temperature: τ > 0.
        gather_distributed: Use the negatives of all ranks, with their gradients.
    """

    def __init__(self, temperature: float = 0.1, gather_distributed: bool = True) -> None:
        super().__init__(temperature, gather_distributed)
        self.cross_entropy = nn.CrossEntropyLoss(reduction='none')  # Lightly's own takes the mean

    def forward(self, out0: Tensor, out1: Tensor, weights: Tensor) -> Tensor:  # type: ignore[override]
        """Compute the loss.

        Args:
            out0: (N, C) projections of the first views; normalised here.
            out1: (N, C) projections of the second views.
            weights: (N,), at least 0; they get no gradient.

        Returns:
            Scalar.

        Raises:
            ValueError: The shapes differ, or there is only one pair and therefore no negatives.
        """
        terms = super().forward(out0, out1)  # (2N,), all first views before the second ones
        if weights.shape != (len(out0),):
            raise ValueError(f'expected {len(out0)} weights, one for each pair, got {tuple(weights.shape)}.')
        return (weights.detach().to(terms).repeat(2) * terms).sum() / len(out0)
