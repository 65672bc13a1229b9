"""Focal loss, with the arguments of mmcv's compiled functions."""

from functools import partial

import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from .announcement import announce
from .numerics import at_least_float, gradients, reproducible


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss of each logit into ``output``.

    Args:
        input: Logits (N, C).
        target: Class of each row (N,), int64; any value outside 0..C-1 is background.
        weight: Weight of each class (C,), for targets without background; no elements for none.
        output: (N, C); overwritten.
        gamma: Focusing exponent.
        alpha: Weight of the positive logits; that of the others is 1 - alpha.
    """
    announce()
    output.copy_(_loss(at_least_float(input), target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each logit's loss into ``grad_input`` (N, C); see :func:`sigmoid_focal_loss_forward`."""
    loss = partial(_loss, target=reproducible(target), weight=reproducible(weight), gamma=gamma, alpha=alpha)
    grad_input.copy_(gradients(loss, [input], torch.ones_like(input))[0])


def _loss(logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float) -> Tensor:
    positive = target[:, None] == torch.arange(logits.shape[1], device=logits.device)
    loss = sigmoid_focal_loss(logits, positive.to(logits), alpha, gamma)
    return loss * weight[target][:, None] if weight.numel() else loss
