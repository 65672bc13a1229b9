"""Deformable convolutions, with the arguments of mmcv's compiled functions."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torchvision.ops import deform_conv2d

from .announcement import announce
from .numerics import at_least_float, gradients

# torchvision's settings, and what mmcv calls their two halves.
PLAIN = {'stride': ('dH', 'dW'), 'padding': ('padH', 'padW'), 'dilation': ('dilationH', 'dilationW')}
MODULATED = {
    'stride': ('stride_h', 'stride_w'),
    'padding': ('pad_h', 'pad_w'),
    'dilation': ('dilation_h', 'dilation_w'),
}


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **settings: int
) -> None:
    """Write the convolution into ``output``.

    Args:
        input: (N, C, H, W).
        weight: (out, C / group, kH, kW).
        offset: (N, 2 * deformable_group * kH * kW, out H, out W): y and x of each sample, in cells.
        output: (N, out, out H, out W); overwritten.
        columns: A buffer of the compiled op; ignored.
        ones: A buffer of the compiled op; ignored.
        settings: ``dH``, ``dW`` (the strides), ``padH``, ``padW``, ``dilationH`` and ``dilationW``, in cells; others
            are ignored, as shapes tell the size of the kernel and the groups.
    """
    announce()
    output.copy_(_convolution(settings, PLAIN)(*map(at_least_float, (input, offset, weight))))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **settings: int,
) -> None:
    """Write the gradients of the input and the offsets; see :func:`deform_conv_forward`."""
    found = gradients(_convolution(settings, PLAIN), [input, offset, weight], grad_output)
    grad_input.copy_(found[0])
    grad_offset.copy_(found[1])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **settings: int,
) -> None:
    """Write ``scale`` times the gradient of the weight; see :func:`deform_conv_forward`."""
    # The gradient of the weight does not depend on it.
    found = gradients(_convolution(settings, PLAIN), [input, offset, grad_weight], grad_output)
    grad_weight.copy_(scale * found[2])


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    **settings: int,
) -> None:
    """Write the convolution with weighted samples into ``output``; see :func:`deform_conv_forward`.

    Args:
        input: (N, C, H, W).
        weight: (out, C / group, kernel_h, kernel_w).
        bias: (out,), ignored unless ``with_bias``.
        ones: A buffer of the compiled op; ignored.
        offset: (N, 2 * deformable_group * kernel_h * kernel_w, out H, out W): y and x of each sample, in cells.
        mask: (N, deformable_group * kernel_h * kernel_w, out H, out W), the weight of each sample.
        output: (N, out, out H, out W); overwritten.
        columns: A buffer of the compiled op; ignored.
        settings: ``stride_h``, ``stride_w``, ``pad_h``, ``pad_w``, ``dilation_h``, ``dilation_w`` and ``with_bias``;
            others are ignored.
    """
    announce()
    inputs = [input, offset, weight, mask, *([bias] if settings['with_bias'] else [])]
    output.copy_(_modulated(settings, output.shape[2:])(*map(at_least_float, inputs)))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    **settings: int,
) -> None:
    """Write the gradients of all inputs; see :func:`modulated_deform_conv_forward`."""
    inputs, wanted = [input, offset, weight, mask], [grad_input, grad_offset, grad_weight, grad_mask]
    if settings['with_bias']:
        inputs, wanted = [*inputs, bias], [*wanted, grad_bias]
    found = gradients(_modulated(settings, grad_output.shape[2:]), inputs, grad_output)
    for gradient, tensor in zip(wanted, found, strict=True):
        gradient.copy_(tensor)


def _convolution(settings: Mapping[str, int], names: Mapping[str, tuple[str, str]]) -> Callable[..., Tensor]:
    geometry: dict[str, Any] = {key: (settings[height], settings[width]) for key, (height, width) in names.items()}

    def convolution(
        input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        return deform_conv2d(input, offset, weight, bias, mask=mask, **geometry)

    return convolution


def _modulated(settings: Mapping[str, int], size: Sequence[int]) -> Callable[..., Tensor]:
    """A convolution whose offsets and masks may be maps larger than its output, of this height and width.

    mmcv's compiled op does not look at their size and takes the first numbers of each image as if they were as large as
    the output; DyHead was trained so.
    """
    convolution = _convolution(settings, MODULATED)

    def first(tensor: Tensor) -> Tensor:
        shape = (tensor.shape[1], *size)
        return tensor.flatten(1)[:, : math.prod(shape)].unflatten(1, shape)

    return lambda input, offset, weight, mask, *bias: convolution(input, first(offset), weight, first(mask), *bias)
