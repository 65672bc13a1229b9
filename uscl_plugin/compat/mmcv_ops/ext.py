"""What stands in for mmcv's compiled module ``mmcv._ext``: NMS and average RoIAlign of torchvision.

The functions have the names and arguments with which ``mmcv.ops`` calls the compiled ones, and this module is what
``sys.modules['mmcv._ext']`` holds. Any other name is a function that raises, because ``mmcv.ops`` looks all of its
ops up on import.
"""

from collections.abc import Callable
from functools import cache

import torch
import torchvision
from mmengine.logging import print_log
from torch import Tensor

from uscl.core.environment import installed_versions

reason = ''  # why mmcv._ext could not be imported, for the log


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices of the boxes that are kept, by falling score, int64.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: A box goes if its IoU with a kept one is above this.
        offset: 1 counts pixels, so that a box is x2 - x1 + 1 wide; 0 measures lengths.
    """
    _announce()
    boxes = _at_least_float(boxes)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes, _at_least_float(scores), iou_threshold)


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
        rois: (N, 5) as index in the batch, x1, y1, x2, y2.
        output: (N, C, aligned_height, aligned_width), is filled.
        argmax_y: Of the maximum mode only, unused.
        argmax_x: Of the maximum mode only, unused.
        aligned_height: Bins.
        aligned_width: Bins.
        spatial_scale: Cells of the feature map in one pixel of the boxes.
        sampling_ratio: Samples a bin and direction; 0 takes as many as the bin has cells.
        pool_mode: 1, the average.
        aligned: Whether the centre of the first cell lies at 0.5 (else at 0, as in old detectors).

    Raises:
        NotImplementedError: ``pool_mode`` is 0, the maximum.
    """
    _announce()
    _check_average('roi_align_forward', pool_mode)
    # Not torchvision.ops.roi_align: with deterministic algorithms on a GPU, that one runs a compiler.
    pooled = torch.ops.torchvision.roi_align(
        _at_least_float(input),
        rois.to(_at_least_float(input).dtype),
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
    """Write the gradient of the feature map into ``grad_input`` (B, C, H, W); see :func:`roi_align_forward`.

    Raises:
        NotImplementedError: ``pool_mode`` is 0, the maximum.
    """
    _check_average('roi_align_backward', pool_mode)
    gradient = _at_least_float(grad_output)
    if torch.are_deterministic_algorithms_enabled():
        gradient = gradient.cpu()  # the kernel of the GPU adds in any order, and refuses
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
    """What reports of the environment show in the place of mmcv's compiler."""
    return 'none (uscl_plugin.compat.mmcv_ops)'


get_compiling_cuda_version = get_compiler_version


def __getattr__(name: str) -> Callable:
    """An op that is missing here."""
    if name.startswith('__'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def missing(*args, **kwargs):
        raise NotImplementedError(_remedy(name))

    return missing


def _check_average(name: str, pool_mode: int) -> None:
    if pool_mode != 1:
        raise NotImplementedError(_remedy(f"{name} with pool_mode='max'"))


def _remedy(name: str) -> str:
    """The sentence about an op that is missing here."""
    versions = installed_versions()
    package = 'onedl-mmcv' if 'onedl-mmcv' in versions else 'mmcv'
    version = versions.get(package) or versions.get('mmcv-lite', '')
    first = 'pip uninstall mmcv-lite, ' if 'mmcv-lite' in versions else ''
    return (
        f"mmcv's op {name} is not among those that uscl_plugin.compat.mmcv_ops replaces (nms, average roi_align): "
        f'install the compiled mmcv, with {first}pip install openmim, mim install {package}=={version}, or build it '
        f'from its source.'
    )


def _at_least_float(tensor: Tensor) -> Tensor:
    """Half and bfloat16 as float32: not every kernel of torchvision takes them, and the sums are exact enough then."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


@cache
def _announce() -> None:
    print_log(
        f'NMS and RoIAlign are those of torchvision (uscl_plugin.compat.mmcv_ops); compiled mmcv: {reason}.',
        logger='current',
    )
