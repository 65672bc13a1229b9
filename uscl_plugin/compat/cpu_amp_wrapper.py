"""bfloat16 on processors, which MMEngine's AmpOptimWrapper refuses."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Runs the network in bfloat16 on a processor; weights, gradients and the optimiser stay in float32.

    bfloat16 has float32's range, so the loss needs no scaling, unlike float16. It is faster only on processors with
    instructions for it (:func:`has_bfloat16_instructions`); others emulate it, several times as slowly.

    Args:
        **kwargs: Arguments of :class:`mmengine.optim.OptimWrapper`.
    """

    cast_dtype = torch.bfloat16

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass; see the parent class."""
        with super().optim_context(model), torch.autocast('cpu', self.cast_dtype):
            yield


def has_bfloat16_instructions() -> bool:
    """Whether this processor multiplies bfloat16 in hardware: AVX512-BF16 or AMX-BF16, or ARM's.

    False also if this version of torch cannot tell.
    """
    known: Mapping[str, Any] = getattr(torch.cpu, 'get_capabilities', dict)()
    return any(known.get(name, False) for name in ('avx512_bf16', 'amx_bf16', 'bf16'))
