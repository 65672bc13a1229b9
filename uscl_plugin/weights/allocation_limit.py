"""Stop code that would allocate too many tensor values, before it does."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_META = {'device': 'meta'}
_LEAST = 1024  # values that an operation counts at least: objects around tensors take memory and time, too


class AllocationLimit(TorchDispatchMode):
    """Count the values of all tensors that are made within the context, and stop above a limit.

    Tensors made from nothing (``torch.empty(sizes)``, ``zeros``, ``randn``, ``linspace``) are counted before they take
    memory, results of other operations after it. Every operation counts as 1,024 values at least, as does every element
    of a tensor that is iterated over, so that the number of layers is limited, too.

    Args:
        limit: Values, summed over all operations; None for no limit.

    Raises:
        MemoryError: The limit is passed.
    """

    def __init__(self, limit: int | None) -> None:
        super().__init__()
        self.limit = math.inf if limit is None else limit
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run one operation, unless it passes the limit."""
        kwargs = kwargs or {}
        sources = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        if not sources and 'device' in kwargs:
            planned = func(*args, **{key: value for key, value in kwargs.items() if key != 'generator'} | _META)
            self._add(planned.numel())
            return func(*args, **kwargs)
        self._add(_LEAST * len(sources[0]) if func is torch.ops.aten.unbind.int else 0)
        made = func(*args, **kwargs)
        known = {tensor.untyped_storage().data_ptr() for tensor in sources}
        if isinstance(made, Tensor) and made.untyped_storage().data_ptr() not in known:
            self._add(made.numel())
        return made

    def _add(self, values: int) -> None:
        self.count += max(values, _LEAST)
        if self.count > self.limit:
            raise MemoryError(f'its tensors would have more than {self.limit:,} values')
