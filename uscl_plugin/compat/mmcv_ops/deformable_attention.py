"""Multi-scale deformable attention, with the arguments of mmcv's compiled functions."""

from functools import partial

from torch import Tensor

from .announcement import announce
from .numerics import at_least_float, gradients


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Weighted sums of samples of feature maps.

    Args:
        value: All cells of all levels (B, cells, heads, channels).
        value_spatial_shapes: Height and width of each level (levels, 2), int64.
        value_level_start_index: First cell of each level; ignored, as the shapes tell it.
        sampling_locations: x and y (B, queries, heads, levels, points, 2), 0..1 inside the map.
        attention_weights: (B, queries, heads, levels, points).
        im2col_step: A setting of the compiled op; ignored.

    Returns:
        (B, queries, heads * channels), the dtype of ``value``.
    """
    announce()
    inputs = map(at_least_float, (value, sampling_locations, attention_weights))
    return _attention(value_spatial_shapes.tolist(), *inputs).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of the values, the locations and the weights; see :func:`ms_deform_attn_forward`."""
    attention = partial(_attention, value_spatial_shapes.tolist())
    found = gradients(attention, [value, sampling_locations, attention_weights], grad_output)
    for gradient, tensor in zip((grad_value, grad_sampling_loc, grad_attn_weight), found, strict=True):
        gradient.copy_(tensor)


def _attention(shapes: list[list[int]], value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    # Not at the top: mmcv.ops imports the compiled module that this one is part of.
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)
