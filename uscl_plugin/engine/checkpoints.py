"""Read checkpoints without ever executing what a pickle asks for, and recognise the ResNet in them."""

import os
import pickle
import pickletools
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import safe_open

from .plain import to_plain, write_atomically

__all__ = [
    'RESNET_DEPTHS',
    'CheckpointError',
    'backbone_state',
    'infer_resnet_depth',
    'load_plain_checkpoint',
    'only_plain_checkpoints',
    'resnet_shapes',
    'to_plain',
    'write_atomically',
]

RESNET_DEPTHS = (18, 34, 50, 101, 152)


def only_plain_checkpoints() -> None:
    """Let ``torch.load`` execute no pickled code in this process, whatever MMEngine or a host asks it for.

    For a checkpoint that you trust and that does not load so (MMEngine's own with its log histories), set the
    environment variable ``TORCH_FORCE_WEIGHTS_ONLY_LOAD=0`` beforehand.
    """
    os.environ.setdefault('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')


class CheckpointError(ValueError):
    """A checkpoint cannot be used as it is; the message is one sentence with the remedy."""


def load_plain_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint on the CPU; nothing that it contains is executed, and there is no fallback that would.

    Args:
        path: ``.safetensors`` by suffix, anything else as ``torch.save`` writes it.

    Returns:
        The dict that was saved; for safetensors ``{'state_dict': tensors, 'meta': the header's strings}``.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is empty, cut off, of another kind, or asks for code; names ``path``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: check the path of the checkpoint.')
    with path.open('rb') as file:  # a file that may not be read raises here, under its own name
        if not file.read(1):
            raise CheckpointError(f'{path} is empty (0 bytes): copy or download it again.')
    try:
        checkpoint = _load_safetensors(path) if path.suffix == '.safetensors' else _load_pickled(path)
    except MemoryError:
        raise
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
        remedy = "save it again from a run that has custom_hooks=[dict(type='PlainCheckpointHook')]"
    return f'{path} carries pickled code and was refused at "{refused}", nothing of it was run: {remedy}.'


def backbone_state(checkpoint: Mapping, prefix: str = 'backbone.') -> OrderedDict[str, torch.Tensor]:
    """Find the backbone's tensors in a checkpoint.

    Args:
        checkpoint: With a ``state_dict`` whose backbone has ``prefix`` (MMPretrain, MMEngine), or such a state dict, or
            a state dict with torchvision's bare names, whose ``fc`` is left out.
        prefix: Of the backbone's names.

    Returns:
        Torchvision's names to tensors, among them whatever else bears the prefix.

    Raises:
        CheckpointError: No backbone is in it.
    """
    state = checkpoint.get('state_dict', checkpoint)
    if isinstance(state, Mapping):
        names = [name for name in state if isinstance(name, str) and isinstance(state[name], torch.Tensor)]
        found = OrderedDict((name[len(prefix) :], state[name]) for name in names if name.startswith(prefix))
        if not found and 'conv1.weight' in names:
            found = OrderedDict((name, state[name]) for name in names if not name.startswith('fc.'))
        if found:
            return found
    else:
        names = []
    groups = sorted({name.split('.')[0] for name in names})
    raise CheckpointError(
        f'There is no backbone: no tensor is named "{prefix}…" or, as in torchvision, "conv1.weight"; '
        f'top-level names are {groups[:8] or "none"}: pass a checkpoint of USCL or of a ResNet.'
    )


@lru_cache
def resnet_shapes(depth: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's ``resnet{depth}`` without ``fc``, buffers included; no memory is taken."""
    with torch.device('meta'):
        model = getattr(torchvision.models, f'resnet{depth}')()
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if not name.startswith('fc.')}


def infer_resnet_depth(state: Mapping[str, torch.Tensor]) -> int:
    """Depth of the torchvision ResNet whose names and shapes ``state`` has, exactly.

    Args:
        state: Bare names to tensors, without ``fc``.

    Returns:
        18, 34, 50, 101 or 152.

    Raises:
        CheckpointError: It is none of them; says what differs from the nearest.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    differences = {depth: _differences(shapes, resnet_shapes(depth)) for depth in RESNET_DEPTHS}
    depth = min(RESNET_DEPTHS, key=lambda candidate: sum(map(len, differences[candidate].values())))
    if not any(differences[depth].values()):
        return depth
    parts = []
    for kind, names in differences[depth].items():
        listed = ', '.join(names[:3]) + (', …' if len(names) > 3 else '')
        parts.append(f'{len(names)} {kind}' + (f' ({listed})' if names else ''))
    raise CheckpointError(
        f'The backbone is not a torchvision ResNet (18, 34, 50, 101 or 152); against resnet{depth}, the nearest: '
        f'{"; ".join(parts)}; convert such a backbone by hand, or pass the checkpoint of a plain ResNet.'
    )


def _differences(shapes: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> dict:
    return {
        'missing': [name for name in expected if name not in shapes],
        'left over': [name for name in shapes if name not in expected],
        'of another shape': [
            f'{name} {shapes[name]} instead of {shape}'
            for name, shape in expected.items()
            if shapes.get(name, shape) != shape
        ],
    }
