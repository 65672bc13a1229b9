"""How much of each residual stage comes from its branches? Layers in closed branches do nothing.

A residual block computes ``shortcut + branch``. Many networks start with branches at or near 0 (``zero_init_residual``
of ResNets, layer scale of ConvNeXt and ViT), and a short run may never open them.
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
# Operations that make a path deeper. Composite ones appear whole in inference mode, otherwise as their parts.
_LEARNT = (
    *('convolution', '_convolution', 'conv1d', 'conv2d', 'conv3d', 'conv_transpose2d', 'deform_conv2d'),
    *('linear', 'matmul', 'einsum', 'mm', 'bmm', 'addmm', 'baddbmm', 'scaled_dot_product_attention'),
)


@dataclass
class _Stage:
    modules: list[str] = field(default_factory=list)  # modules that perform its additions
    shares: list[float] = field(default_factory=list)  # one per addition and batch


class BranchWatch(TorchDispatchMode):
    """Measures the residual additions in every forward pass of a network within a ``with`` block.

    No layer class is assumed. An addition is residual if both operands depend on the input and have the same shape, and
    one has more convolutions, linear layers and matrix products behind it than the other. That one is the branch; the
    other is the shortcut, which may contain a convolution. Branches with pooling only are therefore not detected.

    The share of the branch is rms(branch) / (rms(branch) + rms(shortcut)), with the mean over the batch subtracted from
    both: anything equal for all images, such as the bias of a closed branch, does not count. A single image has no
    share.

    Args:
        network: The network; call it with a batch of images (N, …) as first argument, without gradients, in evaluation
            mode.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network
        self._stages: dict[tuple[int, ...], _Stage] = {}  # by the shape of an image's feature map
        self._depths = WeakTensorKeyDictionary()  # depths of all tensors that depend on the input
        self._handles: list[RemovableHandle] = []
        self._running: list[str] = []  # names of running modules, innermost last

    def shares(self) -> dict[str, float]:
        """Stage → mean share of the branches in its additions, in [0, 1]; empty for a network without any.

        A stage is all additions of one shape. Its name is the common part of the names of the adding modules; stages
        with the same name are merged (attention on (N, H, W, C) and MLP on (N, L, C) in Swin).
        """
        found: dict[str, list[float]] = {}
        for stage in self._stages.values():
            found.setdefault(_common_name(stage.modules), []).extend(stage.shares)
        return {name: sum(shares) / len(shares) for name, shares in found.items()}

    def __enter__(self) -> 'BranchWatch':
        """Start listening to the network."""
        for name, module in self._network.named_modules():
            self._handles += [
                module.register_forward_pre_hook(self._enter_module(name)),
                module.register_forward_hook(self._leave_module),
            ]
        self._had_fast_path = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # it would hide additions inside a single operation
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the network."""
        super().__exit__(kind, error, trace)
        torch.backends.mha.set_fastpath_enabled(self._had_fast_path)
        for handle in self._handles:
            handle.remove()
        self._handles, self._running = [], []
        self._depths = WeakTensorKeyDictionary()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation; its output is as deep as its deepest input, or deeper."""
        kwargs = kwargs or {}
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        known = [self._depths[leaf] for leaf in leaves if leaf in self._depths]
        if len(known) == 2 and func in _ADDITIONS and not kwargs and known[0] != known[1]:
            branch, shortcut = args if known[0] > known[1] else args[::-1]
            self._measure(branch, shortcut)  # now, because add_ overwrites one of them
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
        if not sum(sizes) > 0:  # equal for all images
            return
        stage = self._stages.setdefault(tuple(branch.shape[1:]), _Stage())
        stage.modules.append(self._running[-1])
        stage.shares.append(sizes[0] / sum(sizes))


def _common_name(names: Sequence[str]) -> str:
    """The common beginning of dotted names; otherwise the first and the last.

    >>> _common_name(['layer1.0', 'layer1.1']), _common_name(['layer2', 'layer3', 'layer4']), _common_name([''])
    ('layer1', 'layer2-layer4', 'network')
    """
    parts = zip(*(name.split('.') for name in names), strict=False)
    common = '.'.join(part[0] for part in takewhile(lambda part: len(set(part)) == 1, parts))
    return common or (f'{names[0]}-{names[-1]}' if names[0] and names[-1] else 'network')
