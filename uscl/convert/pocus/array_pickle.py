"""Read pickles of number arrays without running any of their code.

A pickle is a program. The names in it are looked up in a short table, which contains our own checked functions instead
of NumPy's: with a forged dtype, NumPy's would interpret bytes as pointers.
"""

import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from uscl.core.errors import SourceError

_NUMBER = re.compile(r'[biufc][0-9]{1,2}')  # bool, integer, float, complex; 'O8' would be Python objects
_NDARRAY = object()  # stands for numpy.ndarray, which is only named as the kind of array to make and never called


def load_arrays(path: str | Path) -> Any:
    """Read a pickle of arrays and scalars of NumPy 1 or 2, numbers, strings and Python's plain containers.

    Arrays should hold numbers (bool, integer, float, complex). Protocols 0 to 5 are read; reading takes two to
    three times the file's size in memory.

    Args:
        path: The file.

    Returns:
        What was pickled.

    Raises:
        SourceError: The file cannot be read, is damaged, or names anything else; none of its code is run.
    """
    path = Path(path)
    try:
        with path.open('rb') as file:
            return _ArrayUnpickler(file).load()
    except _RefusedError as error:
        what = f'is refused, and none of its code was run: it names {error}, which may be an attack'
        raise SourceError(f'{path} {what}; get the file from its authors.', exit_code=1) from None
    except OSError as error:
        raise SourceError(f'{path} cannot be read ({error.strerror}): check the file.', exit_code=1) from error
    except MemoryError as error:
        remedy = 'use a machine with three times the size of the file'
        raise SourceError(f'{path} does not fit into memory: {remedy}.', exit_code=1) from error
    except Exception as error:  # according to Python's manual, damaged pickles may raise anything
        what = f'{type(error).__name__}: {error}'.splitlines()[0]
        raise SourceError(f'{path} is not a pickle of arrays ({what}): download it again.', exit_code=1) from error


class _RefusedError(Exception):
    """The pickle names something that is not in the table."""


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise _RefusedError(f'{module}.{name}') from None

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError('an object outside the file (a persistent id)')


class _Array(np.ndarray):
    """Array that checks a pickled state before passing it to NumPy."""

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, is_fortran, raw = state
        dtype = _plain_dtype(dtype)
        if type(raw) is not bytes or not all(type(length) is int and length >= 0 for length in shape):
            raise _RefusedError('an array with a forged state')
        if math.prod(shape) * dtype.itemsize != len(raw):
            raise ValueError(f'an array of shape {shape} and type {dtype} cannot have {len(raw)} bytes')
        super().__setstate__((1, tuple(shape), dtype, bool(is_fortran), raw))  # type: ignore[arg-type]  # stub of NumPy


class _Dtype:
    """Replaces numpy.dtype; only types of numbers can be made."""

    __slots__ = ('dtype',)

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        _version, order, *compound = state
        if order not in ('<', '>', '|', '=') or compound[:3] != [None, None, None]:
            raise _RefusedError('an array of a compound type')
        self.dtype = self.dtype.newbyteorder(order)


def _make_dtype(code: Any, *_align_and_copy: Any) -> _Dtype:
    if not isinstance(code, str) or not _NUMBER.fullmatch(code):
        raise _RefusedError(f'an array of type {code!r}')
    return _Dtype(code)


def _plain_dtype(dtype: Any) -> np.dtype:
    if not isinstance(dtype, _Dtype):
        raise _RefusedError('an array with a forged type')
    return dtype.dtype


def _reconstruct(kind: Any, *_shape_and_type: Any) -> _Array:
    """Replaces numpy._core.multiarray._reconstruct: an empty array, whose state follows."""
    if kind is not _NDARRAY:
        raise _RefusedError('a subclass of numpy.ndarray')
    return _Array(0, np.uint8)


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None) -> _Array:
    """Replaces numpy._core.numeric._frombuffer (protocol 5); NumPy 2.3 and later give 'K' with an order of axes."""
    if not isinstance(buffer, bytes | bytearray):
        raise _RefusedError('an array with a forged state')
    flat = np.frombuffer(buffer, _plain_dtype(dtype))
    array = flat.reshape(shape).transpose(axis_order) if axis_order is not None else flat.reshape(shape, order=order)
    return array.view(_Array)


def _scalar(dtype: Any, raw: Any) -> np.generic:
    return np.frombuffer(raw, _plain_dtype(dtype), count=1)[0]


def _encode(text: Any, encoding: Any = None) -> bytes:
    """Bytes, as written by protocols below 3; the real _codecs.encode would import codecs by name."""
    if not isinstance(text, str) or encoding != 'latin1':
        raise _RefusedError(f'_codecs.encode to {encoding!r}')
    return text.encode('latin1')


def _empty_bytes() -> bytes:
    """Empty bytes, as written by protocols below 3; the real bytes would also accept any number or codec."""
    return b''


def _refuse_state(_state: Any) -> None:
    raise _RefusedError('a change of a function')


_KNOWN: dict[tuple[str, str], Any] = {
    ('numpy', 'ndarray'): _NDARRAY,
    ('numpy', 'dtype'): _make_dtype,
    ('_codecs', 'encode'): _encode,
}
for _core in ('numpy.core', 'numpy._core'):  # NumPy 1, NumPy 2
    _KNOWN[f'{_core}.multiarray', '_reconstruct'] = _reconstruct
    _KNOWN[f'{_core}.multiarray', 'scalar'] = _scalar
    _KNOWN[f'{_core}.numeric', '_frombuffer'] = _frombuffer
for _builtins in ('builtins', '__builtin__'):  # protocols below 3 use Python 2's name; lists etc. have opcodes
    _KNOWN |= {(_builtins, _plain.__name__): _plain for _plain in (complex, set, frozenset)}
    _KNOWN[_builtins, 'bytes'] = _empty_bytes
for _function in (_make_dtype, _encode, _reconstruct, _scalar, _frombuffer, _empty_bytes):
    # A pickle may call them but not set their attributes, for which Python calls this method.
    setattr(_function, '__setstate__', _refuse_state)  # noqa: B010
