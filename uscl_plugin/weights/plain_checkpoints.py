"""Read checkpoints without ever executing what a pickle asks for."""

import os
import pickle
import pickletools
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from .checkpoint_error import CheckpointError


def only_plain_checkpoints() -> None:
    """Let ``torch.load`` execute no pickled code in this process, whatever MMEngine or a host asks it for.

    For a checkpoint that you trust and that does not load so (MMEngine's own with its log histories), set the
    environment variable ``TORCH_FORCE_WEIGHTS_ONLY_LOAD=0`` beforehand, and with mmengine 0.10.7 also
    ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1``; resume from it by its path.
    """
    opposite = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
    if opposite in os.environ and 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ:
        warnings.warn(  # torch refuses to load anything with both
            f'{opposite} is ignored: no pickled code is executed here. For a file that you trust, set '
            f'TORCH_FORCE_WEIGHTS_ONLY_LOAD=0 as well.',
            stacklevel=2,
        )
        del os.environ[opposite]
    os.environ.setdefault('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')


def loads_only_plain() -> bool:
    """Whether :func:`only_plain_checkpoints` holds, or was overruled by whoever trusts a file."""
    return os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0').lower() in ('1', 'y', 'yes', 'true')


def load_plain_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint on the CPU; nothing that it contains is executed, and there is no fallback that would.

    Args:
        path: ``.safetensors`` by suffix, anything else as ``torch.save`` writes it.

    Returns:
        The dict that was saved; for safetensors ``{'state_dict': tensors, 'meta': the header's strings}``.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is empty, cut off, of another kind, does not fit into memory, or asks for code; names
            ``path``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: check the path of the checkpoint.')
    with path.open('rb') as file:  # a file that may not be read raises here, under its own name
        if not file.read(1):
            raise CheckpointError(f'{path} is empty (0 bytes): copy or download it again.')
    try:
        checkpoint = _load_safetensors(path) if path.suffix == '.safetensors' else _load_pickled(path)
    except MemoryError as error:  # also where a few damaged bytes claim that gigabytes follow
        raise CheckpointError(
            f'{path} asks for more memory than there is: copy or download it again, or use a machine that has more.'
        ) from error
    except Exception as error:  # the kinds of damage have nothing in common, not even OSError is one's own
        if refused := _refused_global(path, error):
            raise CheckpointError(_refusal(path, refused)) from error
        reason = type(error).__name__ + ': ' + str(error).split('\n')[0].split('. ')[0][:120]
        raise CheckpointError(
            f'{path} is not a checkpoint, or is cut off ({reason}): copy or download it again, or check the path.'
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f'{path} holds a {type(checkpoint).__name__}, not a dict: save a state dict or a checkpoint with one.'
        )
    return checkpoint


def checkpoint_meta(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a checkpoint says of itself, its ``meta``; empty if that is no dict."""
    meta = checkpoint.get('meta')
    return meta if isinstance(meta, Mapping) else {}


def _load_pickled(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Detected pickle protocol')  # what follows is an error with a better text
        # Explicit, so that no default of this or another version of torch, nor of a wrapper around it, decides.
        return torch.load(path, map_location='cpu', weights_only=True)


def _load_safetensors(path: Path) -> dict:
    with safe_open(path, framework='pt', device='cpu') as file:
        return {
            'state_dict': {name: file.get_tensor(name) for name in file.keys()},  # noqa: SIM118 (not a dict)
            'meta': file.metadata() or {},
        }


def _refused_global(path: Path, error: Exception) -> str | None:
    """The name that a pickle wanted to import, or None if the trouble is another."""
    if not isinstance(error, pickle.UnpicklingError):
        return None
    if match := re.search(r'GLOBAL (\S+)', str(error)):
        return match[1]
    # Outside a zip archive, torch stops at the first opcode of a newer protocol: list the opcodes, without running any.
    strings: list[str] = []
    try:
        with path.open('rb') as file:
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name == 'STACK_GLOBAL' and len(strings) > 1:
                    return '.'.join(strings[-2:])
                if isinstance(argument, str):
                    strings.append(argument)
    except Exception:
        return None  # not a pickle at all
    return None


def _refusal(path: Path, refused: str) -> str:
    remedy = 'get it again as plain tensors (a state dict, or safetensors) from someone you trust'
    if refused.startswith(('mmengine.', 'numpy.')):
        remedy = (
            "save it again from a run that has default_hooks=dict(plain_checkpoint=dict(type='PlainCheckpointHook'))"
        )
    return f'{path} carries pickled code and was refused at "{refused}", nothing of it was run: {remedy}.'
