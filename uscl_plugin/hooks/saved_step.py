"""Save a training step to a file: the batch, the model before the step, and the random state."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from uscl.core.atomic_files import write_atomically
from uscl_plugin.weights.plain_types import to_plain

KIND = 'uscl_training_step'
ELEMENT = '__data_element__'


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, including those that are not saved in checkpoints."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """Names of floating-point tensors with a NaN or an infinity, with a single transfer from the GPU."""
    floats = {
        k: v.detach() for k, v in tensors.items() if isinstance(v, Tensor) and v.is_floating_point() and v.numel()
    }
    if not floats:
        return []
    # A NaN survives minimum and maximum, which also find infinities, without a mask as large as the tensor.
    extremes = torch.stack([torch.stack(torch.aminmax(value)).double().sum() for value in floats.values()])
    return [name for name, is_fine in zip(floats, torch.isfinite(extremes).tolist(), strict=True) if not is_fine]


def random_state() -> dict[str, Any]:
    """The state of all global random number generators, without waiting for the GPU."""
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return {'python': random.getstate(), 'numpy': np.random.get_state(), 'torch': torch.get_rng_state(), 'cuda': cuda}


def save_step(path: Path, batch: Any, model: nn.Module, before: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a step as tensors and plain types.

    Args:
        path: The file.
        batch: Output of the data loader.
        model: The model as before the step, except for ``before``.
        before: Tensors of the model that the step has already changed, with their earlier values.
        facts: Anything else that :func:`replay` needs (``random``, ``amp``) or a reader wants.
    """
    left_out: list[str] = []
    content = {
        'kind': KIND,
        'batch': _plain_elements(batch),
        'state': {**model_tensors(model), **before},
        'not_training': [name for name, module in model.named_modules() if not module.training],
        **facts,
    }
    plain = to_plain(content, unknown=lambda where, value: left_out.append(f'{where} ({type(value).__name__})'))
    plain['left_out'] = left_out
    write_atomically(path, lambda temporary: torch.save(plain, temporary))


def _plain_elements(value: Any) -> Any:
    """The same nesting, with data samples as dicts that name their class."""
    if isinstance(value, BaseDataElement):
        kind = f'{type(value).__module__}.{type(value).__qualname__}'
        fields = {name: _plain_elements(entry) for name, entry in value.items()}
        return {ELEMENT: kind, 'metainfo': _plain_elements(dict(value.metainfo_items())), 'fields': fields}
    if isinstance(value, Mapping):
        return {name: _plain_elements(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_elements(entry) for entry in value]
    return value
