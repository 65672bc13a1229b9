"""Precision and gradients, as all replaced ops need them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def at_least_float(tensor: Tensor) -> Tensor:
    """Convert half and bfloat16 to float32, which every torchvision kernel accepts and sums accurately."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def reproducible(tensor: Tensor) -> Tensor:
    """Move to the CPU if deterministic algorithms are enabled: a GPU's backward kernels add in any order and refuse."""
    return tensor.cpu() if torch.are_deterministic_algorithms_enabled() else tensor


def gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor], grad_output: Tensor) -> tuple[Tensor, ...]:
    """Gradients of a function, by computing it again.

    Args:
        function: Takes ``inputs``, as float32 or float64, on any device.
        inputs: Floating-point tensors.
        grad_output: Gradient of the output.

    Returns:
        One gradient per input, float32 or float64, on the device of the input or on the CPU, see :func:`reproducible`.
    """
    with torch.enable_grad():  # mmcv calls this from autograd's backward pass
        leaves = [reproducible(at_least_float(tensor)).detach().requires_grad_() for tensor in inputs]
        output = function(*leaves)
    return torch.autograd.grad(output, leaves, reproducible(at_least_float(grad_output)))
