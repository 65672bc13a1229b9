"""Metadata of a converted checkpoint: the input that the backbone expects, and its origin."""

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uscl.core.config_literals import config_literals
from uscl.core.digest import file_digest
from uscl.options.input_options import INPUT_KEYS

from .checkpoint_error import CheckpointError

CHANNEL_ORDERS = ('rgb', 'bgr')
# Known only to people; converters keep it.
ORIGIN_KEYS = ('method', 'license', 'data')
NOT_STATED = 'not stated'
LARGEST_INPUT = 4096  # pixels along a side; a file that states more would only fill the memory


def origin(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Method, licence and data: from the command line, otherwise from the checkpoint, otherwise 'not stated'."""
    unsaid = {'method': 'unknown', 'license': NOT_STATED, 'data': NOT_STATED}
    return {key: ' '.join(str(given.get(key) or stored.get(key) or unsaid[key]).split()) for key in ORIGIN_KEYS}


def file_source(path: str | Path) -> dict[str, str]:
    """Name and SHA-256 of a file, without its folder, which may be private."""
    return {'file': Path(path).name, 'sha256': file_digest(path)}


def stored_metadata(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Method and input of a checkpoint, as far as its ``meta`` states them.

    Args:
        meta: ``meta`` of a converted checkpoint (separate entries, JSON strings in safetensors) or of a training run
            (``cfg``, the text of its config).

    Returns:
        Any of ``method``, ``license``, ``data``, ``mean``, ``std`` (as stored), ``channel_order``.
    """
    text = meta.get('cfg')
    stored = model_input(config_literals(text, ('model', 'data_preprocessor')) if isinstance(text, str) else {})
    for key in (*ORIGIN_KEYS, *INPUT_KEYS):
        if meta.get(key) is not None:
            stored[key] = meta[key]
            if key in ('mean', 'std') and isinstance(meta[key], str):
                with contextlib.suppress(ValueError):  # resolve_input reports what is wrong with it
                    stored[key] = json.loads(meta[key])
    return {key: value for key, value in stored.items() if value is not None}


def model_input(config: Mapping[str, Any]) -> dict[str, Any]:
    """Method and input according to the config of a run.

    Args:
        config: Config with ``model`` and, if the model has no preprocessor of its own, ``data_preprocessor``.

    Returns:
        Any of ``method`` (the model's type), ``mean``, ``std``, ``channel_order``, as given in the config.
    """
    model = config['model'] if isinstance(config.get('model'), Mapping) else {}
    # MMPretrain uses the model's own, and the top-level one only if the model has none.
    preprocessor = model.get('data_preprocessor') or config.get('data_preprocessor')
    found: dict[str, Any] = {}
    if isinstance(model.get('type'), str):
        found['method'] = model['type'].split('.')[-1]
    if isinstance(preprocessor, Mapping) and preprocessor.get('mean') is not None:
        # MMPretrain uses to_rgb, MMEngine and MMDetection bgr_to_rgb; frames are read as BGR.
        rgb = preprocessor.get('to_rgb', preprocessor.get('bgr_to_rgb', False))
        found |= {
            'mean': preprocessor['mean'],
            'std': preprocessor.get('std'),
            'channel_order': 'rgb' if rgb else 'bgr',
        }
    return found


def resolve_input(path: str | Path, stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Determine mean, standard deviation and channel order from the checkpoint and the command line.

    Args:
        path: Path of the checkpoint, for messages.
        stored: See :func:`stored_metadata`.
        given: ``mean``, ``std`` (1 or 3 numbers, for values of 0..255), ``channel_order``; ``None`` if not given.

    Returns:
        ``{'mean': 3 floats, 'std': 3 floats, 'channel_order': 'rgb' or 'bgr'}``.

    Raises:
        CheckpointError: A value is unknown or invalid, or both sources disagree.
    """
    known = [{key: _checked(path, key, source.get(key)) for key in INPUT_KEYS} for source in (stored, given)]
    for key in INPUT_KEYS:
        ours, theirs = (source[key] for source in known)
        if ours is not None and theirs is not None and not _equal(ours, theirs):
            raise CheckpointError(
                f'{path} was trained with {key} {ours}, which contradicts {_option(key)} {theirs}: '
                f'remove the option, or pass the right checkpoint.'
            )
    settled = {key: known[0][key] if known[0][key] is not None else known[1][key] for key in INPUT_KEYS}
    if unknown := [key for key in INPUT_KEYS if settled[key] is None]:
        raise CheckpointError(
            f'{path} does not state {", ".join(unknown)} of its training input: pass --mean --std --channel-order '
            f'(mean and std for values of 0..255).'
        )
    return settled


def _checked(path: str | Path, key: str, value: Any) -> Any:
    if value is None:
        return None
    if key == 'channel_order':
        if value not in CHANNEL_ORDERS:
            raise CheckpointError(f'{path}: channel_order should be rgb or bgr, got {value!r}: pass --channel-order.')
        return value
    values = list(value) if isinstance(value, list | tuple) else [value]
    numbers = [float(number) for number in values if isinstance(number, int | float) and math.isfinite(number)]
    if len(numbers) != len(values) or len(numbers) not in (1, 3):
        raise CheckpointError(f'{path}: {key} should be 1 or 3 numbers, got {value!r}: pass --{key}.')
    if key == 'std' and min(numbers) < 1:
        raise CheckpointError(
            f'{path}: std {value!r} is below 1, so it is not for values of 0..255: multiply mean and std by 255.'
        )
    return numbers if len(numbers) == 3 else numbers * 3


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, str):
        return ours == theirs
    return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) for a, b in zip(ours, theirs, strict=True))


def _option(key: str) -> str:
    return '--' + key.replace('_', '-')
