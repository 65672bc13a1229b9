"""Plain checkpoints: only tensors and built-in Python types, so that ``torch.load(weights_only=True)`` reads them."""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

# Types that `weights_only=True` accepts without further settings, besides tensors and containers.
_PLAIN_TYPES = (type(None), bool, int, float, complex, str, bytes, torch.dtype)
_DROPPED = object()

Unknown = Callable[[str, Any], None]


def to_plain(obj: Any, unknown: Unknown | None = None) -> Any:
    """Copy a checkpoint into tensors and plain Python types; tensors keep their storage.

    NumPy scalars become Python scalars, and NumPy arrays become tensors (lists if torch lacks the type); paths and
    devices become strings, mappings dicts (an ``OrderedDict`` stays one, with a state dict's ``_metadata``), named
    tuples tuples, and deques lists. MMEngine's ``HistoryBuffer`` is dropped, because only its pickle could restore it.

    Args:
        obj: Any nesting of these types.
        unknown: Called with the place and value of anything without a plain form, which is then dropped (``None`` in a
            sequence); if not given, that is an error.

    Returns:
        The plain copy; ``None`` if ``obj`` itself is dropped.

    Raises:
        TypeError: Something has no plain form and ``unknown`` is not given; the message names the place.

    >>> to_plain({'lr': np.float64(0.5), 'sizes': (np.int64(2), 3)})
    {'lr': 0.5, 'sizes': (2, 3)}
    """
    plain = _plain(obj, 'checkpoint', unknown or _refuse)
    return None if plain is _DROPPED else plain


def _refuse(where: str, value: Any) -> None:
    raise TypeError(
        f'{where} is a {type(value).__module__}.{type(value).__qualname__}, which a plain checkpoint cannot hold: '
        f'store it as tensors, numbers, strings, lists or dicts.'
    )


def _plain(obj: Any, where: str, unknown: Unknown) -> Any:
    if type(obj) in _PLAIN_TYPES:
        return obj
    if isinstance(obj, HistoryBuffer):
        return _DROPPED
    if isinstance(obj, torch.Tensor):
        return obj.detach().as_subclass(torch.Tensor)  # a Parameter would need its class in the pickle
    if isinstance(obj, np.ndarray):
        return _plain_array(obj, where, unknown)
    if isinstance(obj, np.generic):  # before float, because np.float64 is a float
        value = obj.item()
        return float(value) if isinstance(value, np.longdouble) else _plain(value, where, unknown)
    if isinstance(obj, Mapping):
        return _plain_mapping(obj, where, unknown)
    if isinstance(obj, list | tuple | deque):
        items = (_plain(item, f'{where}[{index}]', unknown) for index, item in enumerate(obj))
        plain = [None if item is _DROPPED else item for item in items]
        return tuple(plain) if isinstance(obj, tuple) else plain
    if isinstance(obj, set | frozenset):
        return {_plain(item, where, unknown) for item in obj} - {_DROPPED}
    if isinstance(obj, str):  # including subclasses such as string enums, whose str() differs
        return str.__str__(obj)
    if isinstance(obj, int | float):
        return int(obj) if isinstance(obj, int) else float(obj)
    if isinstance(obj, PurePath | torch.device):
        return str(obj)
    unknown(where, obj)
    return _DROPPED


def _plain_array(array: np.ndarray, where: str, unknown: Unknown) -> Any:
    try:
        return torch.from_numpy(array.copy())  # a copy, because torch rejects read-only arrays and negative strides
    except (TypeError, ValueError):  # strings, objects, foreign byte order
        return _plain(array.tolist(), where, unknown)


def _plain_mapping(mapping: Mapping, where: str, unknown: Unknown) -> dict:
    plain: dict = OrderedDict() if isinstance(mapping, OrderedDict) else {}
    for key, value in mapping.items():
        plain_key = _plain(key, f'a key of {where}', unknown)
        plain_value = _plain(value, f'{where}[{key!r}]', unknown)
        if plain_key is not _DROPPED and plain_value is not _DROPPED:
            plain[plain_key] = plain_value
    # Module.load_state_dict reads the format version of every submodule from this attribute.
    if isinstance(mapping, OrderedDict) and isinstance(getattr(mapping, '_metadata', None), Mapping):
        plain._metadata = _plain_mapping(mapping._metadata, f'{where}._metadata', unknown)  # type: ignore[attr-defined]
    return plain
