"""Replacement for mmcv's compiled module ``mmcv._ext``, based on torchvision and PyTorch.

The functions, here and in the modules beside this one, have the names and arguments with which ``mmcv.ops`` calls the
compiled ones, and this module is installed as ``sys.modules['mmcv._ext']``. Any other name is a function that raises,
because ``mmcv.ops`` looks up all of its ops on import.
"""

from collections.abc import Callable

import torch
import torchvision
from torch import Tensor

from uscl.core.environment import installed_versions

from .announcement import announce
from .deformable_attention import ms_deform_attn_backward, ms_deform_attn_forward
from .deformable_convolution import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from .focal_loss import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from .numerics import at_least_float, reproducible

__all__ = [
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'roi_align_backward',
    'roi_align_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices of the kept boxes, by decreasing score, int64.

    Args:
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: A box is dropped if its IoU with a kept one is above this.
        offset: 1 counts pixels, so that a box is x2 - x1 + 1 wide; 0 measures lengths.
    """
    announce()
    boxes = at_least_float(boxes)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes, at_least_float(scores), iou_threshold)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the pooled features into ``output``.

    Args:
        input: Feature map (B, C, H, W).
        rois: (N, 5), batch index, x1, y1, x2, y2.
        output: (N, C, aligned_height, aligned_width); overwritten.
        argmax_y: Only used by max pooling; ignored.
        argmax_x: Only used by max pooling; ignored.
        aligned_height: Number of bins vertically.
        aligned_width: Number of bins horizontally.
        spatial_scale: Feature map cells per box pixel.
        sampling_ratio: Samples per bin and direction; 0 takes as many as the bin has cells.
        pool_mode: 1 for average pooling.
        aligned: Whether the centre of the first cell is at 0.5 (otherwise at 0, as in old detectors).

    Raises:
        NotImplementedError: ``pool_mode`` is 0, max pooling.
    """
    announce()
    _check_average('roi_align_forward', pool_mode)
    # Not torchvision.ops.roi_align, which runs a compiler if deterministic algorithms are enabled on a GPU.
    pooled = torch.ops.torchvision.roi_align(
        at_least_float(input),
        rois.to(at_least_float(input).dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        sampling_ratio,
        aligned,
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the feature map's gradient into ``grad_input`` (B, C, H, W); see :func:`roi_align_forward`.

    Raises:
        NotImplementedError: ``pool_mode`` is 0, max pooling.
    """
    _check_average('roi_align_backward', pool_mode)
    gradient = reproducible(at_least_float(grad_output))
    rois = rois.to(gradient)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            gradient,
            rois,
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def get_compiler_version() -> str:
    """What environment reports show as mmcv's compiler."""
    return 'none (uscl_plugin.compat.mmcv_ops)'


get_compiling_cuda_version = get_compiler_version


def __getattr__(name: str) -> Callable:
    """Placeholder for an op that is not replaced."""
    if name.startswith('__'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def missing(*args, **kwargs):
        raise NotImplementedError(_remedy(name))

    return missing


def _check_average(name: str, pool_mode: int) -> None:
    if pool_mode != 1:
        raise NotImplementedError(_remedy(f"{name} with pool_mode='max'"))


def _remedy(name: str) -> str:
    """The message for an op that is not replaced."""
    versions = installed_versions()
    package = 'onedl-mmcv' if 'onedl-mmcv' in versions else 'mmcv'
    version = versions.get(package) or versions.get('mmcv-lite', '')
    first = 'pip uninstall mmcv-lite, ' if 'mmcv-lite' in versions else ''
    return (
        f"mmcv's op {name} is not replaced by uscl_plugin.compat.mmcv_ops: "
        f'install the compiled mmcv, with {first}pip install openmim, mim install {package}=={version}, or build it '
        f'from source.'
    )
