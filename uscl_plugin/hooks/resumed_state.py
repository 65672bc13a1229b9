"""Does the state in a checkpoint fit the run that loads it? MMEngine loads what fits and goes on without the rest."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from torch import Tensor

from uscl_plugin.compat.bare_model import bare_model
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.strict_loading import differences, in_words, tensor_forms

_LIKE_THE_WEIGHT = ('exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'momentum_buffer')  # in the state of an optimiser


def check_resumed(runner: Runner, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Check that a run can go on from a checkpoint: model, averages, optimiser and schedulers are those of the run.

    Args:
        runner: The run, with its optimiser built.
        checkpoint: Content of the checkpoint.
        path: Its path, for the message.

    Raises:
        CheckpointError: Something is missing, left over or of another shape; the message names the first.
    """
    found = _model_forms(checkpoint)
    expected = _expected_model(runner, found)
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            expected |= _prefixed('ema_state_dict', tensor_forms(hook.ema_model.state_dict()))
    found |= _prefixed('ema_state_dict', tensor_forms(_mapping(checkpoint.get('ema_state_dict'))))
    now = {'optimizer': runner.optim_wrapper.state_dict(), 'param_schedulers': _scheduler_states(runner)}
    for name, forms in (('optimizer', _optimizer_forms), ('param_schedulers', _scheduler_forms)):
        found |= dict(forms(name, checkpoint.get(name)))
        expected |= dict(forms(name, now[name]))
    for name, own, needed in _optimizer_shapes(runner, checkpoint):
        found[name], expected[name] = own, needed
    if words := in_words(differences(found, expected)):
        remedy = 'resume with the config of its run, or start a new run from its weights: load_from without --resume'
        raise CheckpointError(f'{path} does not fit this run, {words}: {remedy}.')


def check_started(runner: Runner, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Check that a new run that starts from a checkpoint (``load_from``) gets its whole backbone, or whatever fits.

    Heads may differ, as another task has others.

    Args:
        runner: The run.
        checkpoint: Content of the checkpoint.
        path: Its path, for the message.

    Raises:
        CheckpointError: Tensors of the backbone are missing or of another shape, or nothing fits a model without one.
    """
    forms = _model_forms(checkpoint)
    expected = _expected_model(runner, forms)
    own = {name: form for name, form in expected.items() if name.startswith('backbone.')}
    if not own and any(forms.get(name) == form for name, form in expected.items()):
        return
    found = _missing(forms, own or expected)
    if words := in_words(found):
        raise CheckpointError(
            f'{path} does not fit the model, {words}, which would stay random: pass a checkpoint of this network, or '
            f'set model.backbone.init_cfg with its prefix.'
        )


def check_tested(runner: Runner, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Check that a checkpoint has every tensor of the model that is tested with it.

    Args:
        runner: The run.
        checkpoint: Content of the checkpoint.
        path: Its path, for the message.

    Raises:
        CheckpointError: Tensors are missing or of another shape; the message names the first.
    """
    forms = _model_forms(checkpoint)
    if words := in_words(_missing(forms, _expected_model(runner, forms))):
        raise CheckpointError(f'{path} does not fit the model, {words}: pass the checkpoint trained with this config.')


def _missing(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, list[str]]:
    parts = differences(found, expected) | {'left over': []}
    # Older files lack the counters, which batch norm only needs for a cumulative average.
    return parts | {'missing': [name for name in parts['missing'] if not name.endswith('num_batches_tracked')]}


def _model_forms(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    state = _mapping(checkpoint.get('state_dict', checkpoint))
    # As MMEngine does: parallel training may have added a prefix.
    return {re.sub(r'^module\.', '', str(name)): form for name, form in tensor_forms(state).items()}


def _expected_model(runner: Runner, found: Mapping[str, Any]) -> dict[str, Any]:
    """Forms of the model's tensors; one without rows, such as the ensemble of the samples, takes any number of them."""
    forms = tensor_forms(bare_model(runner).state_dict())
    empty = [name for name, form in forms.items() if form[:1] == (0,) and found.get(name, ())[1:] == form[1:]]
    return forms | {name: found[name] for name in empty if name in found}


def _optimizer_forms(name: str, state: Any) -> Iterator[tuple[str, Any]]:
    """Groups with their sizes and, as the kind of optimiser, the names of their numbers (such as lr and betas)."""
    groups = _mapping(state).get('param_groups')
    if not isinstance(groups, list):  # several optimisers, by name
        for key, part in _mapping(state).items():
            if isinstance(part, Mapping):
                yield from _optimizer_forms(f'{name}.{key}', part)
        return
    for index, group in enumerate(map(_mapping, groups)):
        place = f'{name}.param_groups.{index}'
        yield place, f'({len(group.get("params", []))} parameters)'
        for key, value in group.items():
            values = value if isinstance(value, list | tuple) and key != 'params' else [value]
            if all(type(number) in (int, float) for number in values):
                yield f'{place}.{key}', 'a number'


def _optimizer_shapes(runner: Runner, checkpoint: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Averages of gradients: name, shape, and shape of their parameter."""
    wrapper, saved = runner.optim_wrapper, _mapping(checkpoint.get('optimizer'))
    named = isinstance(getattr(wrapper, 'optim_wrappers', None), dict)
    for key, part in wrapper.items() if named else [('', wrapper)]:
        prefix, own = (f'optimizer.{key}', _mapping(saved.get(key))) if named else ('optimizer', saved)
        parameters = [parameter for group in part.optimizer.param_groups for parameter in group['params']]
        for index, entries in _mapping(own.get('state')).items():
            for name, value in _mapping(entries).items():
                if name in _LIKE_THE_WEIGHT and isinstance(value, Tensor) and index in range(len(parameters)):
                    yield f'{prefix}.state.{index}.{name}', tuple(value.shape), tuple(parameters[index].shape)


def _scheduler_states(runner: Runner) -> Any:
    schedulers = runner.param_schedulers
    if isinstance(schedulers, dict):
        return {name: [part.state_dict() for part in parts] for name, parts in schedulers.items()}
    return [part.state_dict() for part in schedulers or []]


def _scheduler_forms(name: str, state: Any) -> Iterator[tuple[str, Any]]:
    """The names of everything in each scheduler, which differ by kind."""
    parts = state.items() if isinstance(state, Mapping) else enumerate(state or [])
    for key, part in parts:
        if isinstance(part, list):
            yield from _scheduler_forms(f'{name}.{key}', part)
        else:
            for setting in _mapping(part):
                yield f'{name}.{key}.{setting}', 'a setting'


def _mapping(value: Any) -> Mapping:
    return value if isinstance(value, Mapping) else {}


def _prefixed(name: str, forms: Mapping[str, Any]) -> dict[str, Any]:
    return {f'{name}.{key}': form for key, form in forms.items()}
