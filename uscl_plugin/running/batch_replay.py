"""Run a saved training step again."""

import importlib
import random
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from uscl_plugin.hooks.saved_step import ELEMENT, KIND, model_tensors, not_finite
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

_PACKAGES = ('mmengine.', 'mmpretrain.', 'mmdet.')  # packages whose data elements a file may name


@dataclass
class Replay:
    """Result of running a step again.

    Attributes:
        losses: Name → value.
        first: Name and kind of the first module with a non-finite output, in the order in which modules finish.
        bad_weights: Parameters and buffers that were not finite before the step.
        bad_gradients: Parameters with a non-finite gradient; empty if a loss is not finite.
    """

    losses: dict[str, float]
    first: str | None = None
    bad_weights: list[str] = field(default_factory=list)
    bad_gradients: list[str] = field(default_factory=list)


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore a state from :func:`random_state`, also after it was saved."""
    random.setstate(state['python'])
    name, keys, *rest = state['numpy']
    np.random.set_state((name, np.asarray(keys), *rest))
    torch.set_rng_state(state['torch'])
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'])


def load_step(path: Path) -> dict:
    """Read a file written by :func:`save_step`; nothing in it is executed.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is of another kind, or parts of its batch could not be saved.
    """
    saved = load_plain_checkpoint(path)
    if saved.get('kind') != KIND:
        raise ValueError(
            f'{path} contains no training step: pass a file written by FiniteLossHook, in WORK_DIR/non_finite.'
        )
    if lost := [name for name in saved['left_out'] if name.startswith("checkpoint['batch']")]:
        raise ValueError(
            f'{path} cannot be run again, because {lost[0]} cannot be saved as tensors: inspect its images.'
        )
    return saved


def replay(model_cfg: dict, saved: Mapping[str, Any], device: str = 'cpu') -> Replay:
    """Run the forward pass of a saved step again and, if its losses are finite, the backward pass.

    Negatives and labels of other processes are not available: with several processes, values differ from the run's.

    Args:
        model_cfg: The ``model`` of the run's config.
        saved: Output of :func:`load_step`.
        device: Device to run on; float16 is only used on CUDA.

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
        if found.first is None and not_finite(dict(enumerate(tree_leaves(outputs)))):  # type: ignore[arg-type]
            found.first = f'{name or "the model"} ({type(module).__name__})'

    for name, module in model.named_modules():
        module.register_forward_hook(lambda module, _, outputs, name=name: look(name, module, outputs))
    set_random_state(saved['random'])
    amp = saved['amp']
    mixed = None
    if amp is not None and ('cuda' in device or amp == 'bfloat16'):
        mixed = torch.autocast(torch.device(device).type, getattr(torch, amp) if amp else None)
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
            f'the config builds another model than the saved one, {differing[0]} is in only one of them: pass the '
            f'config of the run, which is in its work folder.'
        )
    parameters = dict(model.named_parameters())
    for name, value in state.items():
        if name in parameters and parameters[name].shape != value.shape:
            raise ValueError(
                f'the config builds another model than the saved one, {name} has the shape '
                f'{tuple(parameters[name].shape)} instead of {tuple(value.shape)}: pass the config of the run.'
            )
        if name in parameters:
            parameters[name].data.copy_(value)
        else:  # the size of a buffer may depend on the training set
            module, _, leaf = name.rpartition('.')
            setattr(model.get_submodule(module), leaf, value.clone())


def _elements(value: Any) -> Any:
    if isinstance(value, Mapping) and ELEMENT in value:
        module, _, name = value[ELEMENT].rpartition('.')
        kind = getattr(importlib.import_module(module), name, None) if module.startswith(_PACKAGES) else None
        if not isinstance(kind, type) or not issubclass(kind, BaseDataElement):
            raise ValueError(f'{value[ELEMENT]} is not a data sample of MMEngine, MMPretrain or MMDetection.')
        element = kind(metainfo=_elements(value['metainfo']))
        for name, entry in value['fields'].items():
            element.set_field(_elements(entry), name, dtype=None)
        return element
    if isinstance(value, Mapping):
        return {name: _elements(entry) for name, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_elements(entry) for entry in value]
    return value
