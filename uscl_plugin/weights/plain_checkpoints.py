"""Read checkpoints without ever executing pickled code."""

import os
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from .checkpoint_error import CheckpointError
from .tensor_digest import DIGEST, tensor_digest

ONLY_PLAIN, ANY_CODE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'  # variables of torch.load


def only_plain_checkpoints() -> None:
    """Prevent ``torch.load`` from executing pickled code in this process, whatever MMEngine or a host requests.

    For a checkpoint that you trust and that does not load otherwise (MMEngine's own with log histories), set the
    environment variable ``TORCH_FORCE_WEIGHTS_ONLY_LOAD=0`` beforehand, and with mmengine 0.10.7 also
    ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1``; then resume from its path.
    """
    if ANY_CODE in os.environ and ONLY_PLAIN not in os.environ:
        warnings.warn(  # torch refuses to load anything if both are set
            f'{ANY_CODE} is ignored: pickled code is never executed here. For a file that you trust, set '
            f'{ONLY_PLAIN}=0 as well.',
            stacklevel=2,
        )
        del os.environ[ANY_CODE]
    os.environ.setdefault(ONLY_PLAIN, '1')


def loads_only_plain() -> bool:
    """Whether :func:`only_plain_checkpoints` is in force and was not overruled for a trusted file."""
    return _is_on(ONLY_PLAIN)


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, '0').lower() in ('1', 'y', 'yes', 'true')  # as torch.load reads it


def load_plain_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint on the CPU; nothing in it is executed, and there is no unsafe fallback.

    Checksums are verified: those that ``torch.save`` writes and ``torch.load`` ignores, and for safetensors, which has
    none, the digest that this package adds. Other safetensors and torch's format of before 1.6 are read unverified.

    Args:
        path: ``.safetensors`` by suffix; anything else as written by ``torch.save``.

    Returns:
        The saved dict; for safetensors ``{'state_dict': tensors, 'meta': the header's strings}``.

    Raises:
        FileNotFoundError: The file does not exist.
        CheckpointError: The file is empty, truncated, changed, of another kind, does not fit into memory, or contains
            code; the message names ``path``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: check the path of the checkpoint.')
    if all(_is_on(name) for name in (ONLY_PLAIN, ANY_CODE)):
        raise CheckpointError(
            f'{path} was not read, as torch loads nothing if {ONLY_PLAIN} and {ANY_CODE} are both set: unset one.'
        )
    with path.open('rb') as file:  # an unreadable file raises here, with its name
        if not file.read(1):
            raise CheckpointError(f'{path} is empty (0 bytes): copy or download it again.')
    try:
        checkpoint = _load_safetensors(path) if path.suffix == '.safetensors' else _load_pickled(path)
    except MemoryError as error:  # also if damaged bytes claim a size of gigabytes
        raise CheckpointError(
            f'{path} needs more memory than is available: copy or download it again, or use a machine with more.'
        ) from error
    except Exception as error:  # damage raises unrelated exceptions, even OSError
        if refused := _refused_global(path, error):
            raise CheckpointError(_refusal(path, refused)) from error
        reason = type(error).__name__ + ': ' + str(error).split('\n')[0].split('. ')[0][:120]
        raise CheckpointError(
            f'{path} is not a checkpoint, or is truncated ({reason}): copy or download it again, or check the path.'
        ) from error
    if damage := _damage(path, checkpoint):
        raise CheckpointError(f'{path} is damaged ({damage}): copy or download it again, or use an earlier one.')
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f'{path} contains a {type(checkpoint).__name__}, not a dict: save a state dict or a checkpoint with one.'
        )
    return checkpoint


def checkpoint_meta(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a checkpoint says of itself, its ``meta``; empty if that is no dict."""
    meta = checkpoint.get('meta')
    return meta if isinstance(meta, Mapping) else {}


def stated(meta: Mapping[str, Any], *keys: str) -> Any:
    """A value deep in metadata that nobody has checked; None if a key on the way to it is missing.

    >>> stated({'a': {'b': 1}}, 'a', 'b'), stated({'a': 'text'}, 'a', 'b')
    (1, None)
    """
    found: Any = meta
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def class_names(meta: Mapping[str, Any]) -> list[str]:
    """The classes that a checkpoint's ``meta`` states, as MMEngine stores them; empty if there are none."""
    found = stated(meta, 'dataset_meta', 'classes')
    return [str(name) for name in found] if isinstance(found, list | tuple) else []


def _load_pickled(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Detected pickle protocol')  # an error with a better message follows
        # Explicit, so that no default of this or another torch version, or of a wrapper around it, applies.
        return torch.load(path, map_location='cpu', weights_only=True)


def _damage(path: Path, checkpoint: Any) -> str | None:
    """Which checksum of a file that could be read is wrong; None if all are right."""
    if path.suffix == '.safetensors':
        meta = checkpoint['meta']
        is_changed = DIGEST in meta and meta[DIGEST] != tensor_digest(checkpoint['state_dict'], meta)
        return f'{DIGEST} in its header is not that of its content' if is_changed else None
    with path.open('rb') as file:
        if file.read(4) != b'PK\x03\x04':
            return None  # a format without checksums
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except OSError:
        raise
    except Exception as error:  # zipfile raises unrelated exceptions for damage
        return str(error)
    return f'the checksum of {wrong} is wrong' if wrong else None


def _load_safetensors(path: Path) -> dict:
    with safe_open(path, framework='pt', device='cpu') as file:
        return {
            'state_dict': {name: file.get_tensor(name) for name in file.keys()},  # noqa: SIM118 (not a dict)
            'meta': file.metadata() or {},
        }


def _refused_global(path: Path, error: Exception) -> str | None:
    """The name that a pickle tried to import, or None if the problem is another."""
    if not isinstance(error, pickle.UnpicklingError):
        return None
    if match := re.search(r'GLOBAL (\S+)', str(error)):
        return match[1]
    # Outside a zip archive, torch stops at the first opcode of a newer protocol: list the opcodes without executing
    # them.
    strings: list[str] = []
    try:
        with path.open('rb') as file:
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name == 'STACK_GLOBAL' and len(strings) > 1:
                    return '.'.join(strings[-2:])
                if isinstance(argument, str):
                    strings.append(argument)
    except Exception:
        return None  # not a pickle
    return None


def _refusal(path: Path, refused: str) -> str:
    remedy = 'get it as plain tensors (a state dict, or safetensors) from a trusted source'
    if refused.startswith(('mmengine.', 'numpy.')):
        remedy = "save it again from a run with default_hooks=dict(plain_checkpoint=dict(type='PlainCheckpointHook'))"
    return f'{path} contains pickled code and was rejected at "{refused}"; none of it was executed: {remedy}.'
