"""How much of each residual stage comes from its branches? Where they are shut, their layers do nothing.

A residual block gives ``shortcut + branch``. Many networks start with branches at 0 or nearly so
(``zero_init_residual`` of ResNets, layer scale of ConvNeXt and ViT), and a short run may never open them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakTensorKeyDictionary

_ADDITIONS = (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor)
# What makes a path deeper. Composite operations are seen whole in inference mode, else as those they consist of.
_LEARNT = (
    *('convolution', '_convolution', 'conv1d', 'conv2d', 'conv3d', 'conv_transpose2d', 'deform_conv2d'),
    *('linear', 'matmul', 'einsum', 'mm', 'bmm', 'addmm', 'baddbmm', 'scaled_dot_product_attention'),
)


@dataclass
class _Stage:
    modules: list[str] = field(default_factory=list)  # in which it adds
    shares: list[float] = field(default_factory=list)  # of all additions of all batches


class BranchWatch(TorchDispatchMode):
    """Measures the residual additions of a network in every forward pass within a ``with`` block.

    No class of layer is assumed. An addition is residual if both operands depend on the input and have one shape, and
    one has more convolutions, linear layers and products of matrices behind it than the other. That one is the branch;
    the other is the shortcut, which may have a convolution of its own. So branches of pooling alone are not seen.

    The share of the branch is rms(branch) / (rms(branch) + rms(shortcut)), of both less their mean over the batch: what
    is the same for all images, such as the bias of a shut branch, does not count. A batch of one image has no share.

    Args:
        network: Called with a batch of images (N, …) first, with gradients off and in evaluation mode.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network
        self._stages: dict[tuple[int, ...], _Stage] = {}  # by the shape of an image's map
        self._depths = WeakTensorKeyDictionary()  # of all tensors that depend on the input
        self._handles: list[RemovableHandle] = []
        self._running: list[str] = []  # names of modules, the innermost last

    def shares(self) -> dict[str, float]:
        """Stage → mean share of the branches in its additions, in [0, 1]; empty for a network without any.

        A stage is all additions of one shape. Its name is what the names of the modules that add have in common; stages
        of one name are one (attention on (N, H, W, C) and MLP on (N, L, C) in Swin).
        """
        found: dict[str, list[float]] = {}
        for stage in self._stages.values():
            found.setdefault(_common_name(stage.modules), []).extend(stage.shares)
        return {name: sum(shares) / len(shares) for name, shares in found.items()}

    def __enter__(self) -> 'BranchWatch':
        """Listen to the network."""
        for name, module in self._network.named_modules():
            self._handles += [
                module.register_forward_pre_hook(self._enter_module(name)),
                module.register_forward_hook(self._leave_module),
            ]
        self._had_fast_path = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # it would add inside of one operation
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the network as it was."""
        super().__exit__(kind, error, trace)
        torch.backends.mha.set_fastpath_enabled(self._had_fast_path)
        for handle in self._handles:
            handle.remove()
        self._handles, self._running = [], []
        self._depths = WeakTensorKeyDictionary()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation; what it gives is as deep as its deepest input, or deeper."""
        kwargs = kwargs or {}
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        known = [self._depths[leaf] for leaf in leaves if leaf in self._depths]
        if len(known) == 2 and func in _ADDITIONS and not kwargs and known[0] != known[1]:
            branch, shortcut = args if known[0] > known[1] else args[::-1]
            self._measure(branch, shortcut)  # now: add_ overwrites one of them
        output = func(*args, **kwargs)
        if known:
            depth = max(known) + (func.overloadpacket.__name__ in _LEARNT)
            for leaf in tree_leaves(output):
                if isinstance(leaf, Tensor):
                    self._depths[leaf] = depth
        return output

    def _enter_module(self, name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._running.append(name)
            if module is self._network:
                self._depths[inputs[0]] = 0

        return enter

    def _leave_module(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self._running.pop()

    def _measure(self, branch: Tensor, shortcut: Tensor) -> None:
        if branch.shape != shortcut.shape or branch.ndim < 3 or len(branch) < 2 or not branch.is_floating_point():
            return
        sizes = [(part.float() - part.float().mean(dim=0)).square().mean().sqrt().item() for part in (branch, shortcut)]
        if not sum(sizes) > 0:  # all images have the same
            return
        stage = self._stages.setdefault(tuple(branch.shape[1:]), _Stage())
        stage.modules.append(self._running[-1])
        stage.shares.append(sizes[0] / sum(sizes))


def _common_name(names: Sequence[str]) -> str:
    """What dotted names have in common from the start; else the first and the last.

    >>> _common_name(['layer1.0', 'layer1.1']), _common_name(['layer2', 'layer3', 'layer4']), _common_name([''])
    ('layer1', 'layer2-layer4', 'network')
    """
    parts = zip(*(name.split('.') for name in names), strict=False)
    common = '.'.join(part[0] for part in takewhile(lambda part: len(set(part)) == 1, parts))
    return common or (f'{names[0]}-{names[-1]}' if names[0] and names[-1] else 'network')
