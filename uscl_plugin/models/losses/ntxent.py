"""The contrastive loss of USCL."""

import torch
from lightly.loss import NTXentLoss
from mmpretrain.registry import MODELS
from torch import Tensor
from torch import distributed as torch_dist


@MODELS.register_module()
class LightlyNTXentLoss(NTXentLoss):
    """Lightly's NT-Xent as a module in MMPretrain's registry.

    For N pairs, the mean over the 2N views i with partner j of ``-log(exp(s_ij/τ) / Σ_{k≠i} exp(s_ik/τ))``, where s is
    the cosine similarity (Sec. 3 of the paper). It is computed in at least float32, also under autocast: in half
    precision the logits 1/τ lose the digits that distinguish a positive pair from a close negative.

    Args:
        temperature: τ > 0.
        gather_distributed: Use the negatives of all ranks, with their gradients.
    """

    def __init__(self, temperature: float = 0.5, gather_distributed: bool = True) -> None:
        super().__init__(
            temperature=temperature,
            memory_bank_size=0,
            gather_distributed=gather_distributed and torch_dist.is_available(),
        )

    def forward(self, out0: Tensor, out1: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            out0: (N, C) projections of the first views; normalised here.
            out1: (N, C) projections of the second views.

        Returns:
            Scalar.

        Raises:
            ValueError: The shapes differ, or there is only one pair and therefore no negatives.
        """
        if out0.shape != out1.shape or out0.ndim != 2:
            raise ValueError(f'expected two tensors of one shape (N, C), got {out0.shape} and {out1.shape}.')
        is_distributed = self.gather_distributed and torch_dist.is_initialized()
        num_pairs = len(out0) * (torch_dist.get_world_size() if is_distributed else 1)
        if num_pairs < 2:
            raise ValueError(
                f'NT-Xent got {num_pairs} pair(s), but one pair has no negatives: use a batch size of at least 2 and '
                f"train_dataloader.batch_sampler=dict(type='PairBatchSampler'), which drops a last batch of one."
            )
        with torch.autocast(device_type=out0.device.type, enabled=False):
            dtype = torch.promote_types(out0.dtype, torch.float32)
            return super().forward(out0.to(dtype), out1.to(dtype))
