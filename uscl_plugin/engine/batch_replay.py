"""Keep a training step as a file, and run it again: the batch, the model before the step, and the random numbers."""

import importlib
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from uscl.core.atomic_files import write_atomically
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.plain_types import to_plain

_KIND = 'uscl_training_step'
_ELEMENT = '__data_element__'
_PACKAGES = ('mmengine.', 'mmpretrain.', 'mmdet.')  # whose data elements a file may name


@dataclass
class Replay:
    """What a step gave when it was run again.

    Attributes:
        losses: Name → value.
        first: Name and kind of the first module whose output was not finite, in the order in which modules finish.
        bad_weights: Parameters and buffers that were not finite before the step.
        bad_gradients: Parameters whose gradient is not finite; empty if a loss is not.
    """

    losses: dict[str, float]
    first: str | None = None
    bad_weights: list[str] = field(default_factory=list)
    bad_gradients: list[str] = field(default_factory=list)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, those that a checkpoint does not hold among them."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """Names of the floating-point tensors with a NaN or an infinity; one look at the GPU for all."""
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


def set_random_state(state: Mapping[str, Any]) -> None:
    """Continue from what :func:`random_state` gave, also after it was saved."""
    random.setstate(state['python'])
    name, keys, *rest = state['numpy']
    np.random.set_state((name, np.asarray(keys), *rest))
    torch.set_rng_state(state['torch'])
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'])


def save_step(path: Path, batch: Any, model: nn.Module, before: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a step as tensors and plain types.

    Args:
        path: The file.
        batch: What the data loader gave.
        model: As it was before the step, but for ``before``.
        before: Tensors of the model that the step has changed already, as they were.
        facts: Whatever else :func:`replay` needs (``random``, ``amp``) or a reader wants.
    """
    left_out: list[str] = []
    content = {
        'kind': _KIND,
        'batch': _plain_elements(batch),
        'state': {**model_tensors(model), **before},
        'not_training': [name for name, module in model.named_modules() if not module.training],
        **facts,
    }
    plain = to_plain(content, unknown=lambda where, value: left_out.append(f'{where} ({type(value).__name__})'))
    plain['left_out'] = left_out
    write_atomically(path, lambda temporary: torch.save(plain, temporary))


def load_step(path: Path) -> dict:
    """Read what :func:`save_step` wrote; nothing in it is executed.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is of another kind, or parts of its batch could not be kept.
    """
    saved = load_plain_checkpoint(path)
    if saved.get('kind') != _KIND:
        raise ValueError(
            f'{path} holds no training step: pass a file that FiniteLossHook wrote, in WORK_DIR/non_finite.'
        )
    if lost := [name for name in saved['left_out'] if name.startswith("checkpoint['batch']")]:
        raise ValueError(
            f'{path} cannot be run again, since a file of tensors does not hold {lost[0]}: look at its images.'
        )
    return saved


def replay(model_cfg: dict, saved: Mapping[str, Any], device: str = 'cpu') -> Replay:
    """Run the forward pass of a saved step again; if its losses are finite, the backward pass, too.

    Negatives and labels of other processes are not there: with several of them, values differ from the run's.

    Args:
        model_cfg: The ``model`` of the run's config.
        saved: From :func:`load_step`.
        device: Where to run; mixed precision is used on CUDA only.

    Raises:
        ValueError: The config builds another model.
    """
    model = MODELS.build(model_cfg)
    _load(model, saved['state'])
    model.to(device).train()
    for name in saved['not_training']:
        model.get_submodule(name).training = False
    found = Replay({}, bad_weights=not_finite(saved['state']))

    def look(name: str, module: nn.Module, outputs: Any) -> None:
        if found.first is None and not_finite(dict(enumerate(_tensors(outputs)))):  # type: ignore[arg-type]
            found.first = f'{name or "the model"} ({type(module).__name__})'

    for name, module in model.named_modules():
        module.register_forward_hook(lambda module, _, outputs, name=name: look(name, module, outputs))
    set_random_state(saved['random'])
    amp = saved['amp']
    mixed = (
        torch.autocast('cuda', getattr(torch, amp) if amp else None) if amp is not None and 'cuda' in device else None
    )
    with mixed or nullcontext():
        data = model.data_preprocessor(_elements(saved['batch']), True)
        losses = model(**data, mode='loss')
    total, values = model.parse_losses(losses)
    found.losses = {name: float(value) for name, value in values.items()}
    if torch.isfinite(total):
        total.backward()
        gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        found.bad_gradients = not_finite(gradients)
    return found


def _load(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    own = model_tensors(model)
    if differing := sorted(own.keys() ^ state.keys()):
        raise ValueError(
            f'the config builds another model than the one that was saved, {differing[0]} is in one alone: pass the '
            f'config of the run, which is in its work folder.'
        )
    parameters = dict(model.named_parameters())
    for name, value in state.items():
        if name in parameters and parameters[name].shape != value.shape:
            raise ValueError(
                f'the config builds another model than the one that was saved, {name} has the shape '
                f'{tuple(parameters[name].shape)} instead of {tuple(value.shape)}: pass the config of the run.'
            )
        if name in parameters:
            parameters[name].data.copy_(value)
        else:  # a buffer may have grown with the training set
            module, _, leaf = name.rpartition('.')
            setattr(model.get_submodule(module), leaf, value.clone())


def _tensors(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, Mapping):
        for value in outputs.values():
            yield from _tensors(value)
    elif isinstance(outputs, list | tuple):
        for value in outputs:
            yield from _tensors(value)


def _plain_elements(value: Any) -> Any:
    """The same nesting with data samples as dicts, which name their class."""
    if isinstance(value, BaseDataElement):
        kind = f'{type(value).__module__}.{type(value).__qualname__}'
        fields = {name: _plain_elements(entry) for name, entry in value.items()}
        return {_ELEMENT: kind, 'metainfo': _plain_elements(dict(value.metainfo_items())), 'fields': fields}
    if isinstance(value, Mapping):
        return {name: _plain_elements(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_elements(entry) for entry in value]
    return value


def _elements(value: Any) -> Any:
    if isinstance(value, Mapping) and _ELEMENT in value:
        module, _, name = value[_ELEMENT].rpartition('.')
        kind = getattr(importlib.import_module(module), name, None) if module.startswith(_PACKAGES) else None
        if not isinstance(kind, type) or not issubclass(kind, BaseDataElement):
            raise ValueError(f'{value[_ELEMENT]} is no data sample of MMEngine, MMPretrain or MMDetection.')
        element = kind(metainfo=_elements(value['metainfo']))
        for name, entry in value['fields'].items():
            element.set_field(_elements(entry), name, dtype=None)
        return element
    if isinstance(value, Mapping):
        return {name: _elements(entry) for name, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_elements(entry) for entry in value]
    return value
