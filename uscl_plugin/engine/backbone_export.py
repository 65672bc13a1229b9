"""Take the backbone out of a checkpoint, for MMDetection, MMPretrain or torchvision."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ..version import __version__
from .checkpoints import CheckpointError, backbone_state, infer_resnet_depth, load_plain_checkpoint
from .input_metadata import file_source, resolve_input, stored_metadata
from .plain import write_atomically, write_text

TARGETS = ('mmdet', 'mmpretrain', 'torchvision')
SUFFIXES = ('.pth', '.pt', '.safetensors')


def export_backbone(source: str | Path, out: str | Path, target: str, given: Mapping[str, Any] | None = None) -> str:
    """Write the backbone of ``source`` to ``out``, all of it or nothing.

    MMDetection and MMPretrain get ``{'meta', 'state_dict'}`` with ``backbone.`` names (``init_cfg`` with
    ``prefix='backbone.'``), torchvision a flat state dict; the flat one has no room for metadata, which goes to
    ``OUT.json``. With a ``.safetensors`` suffix tensors have the same names, metadata is in the header.

    Args:
        source: A checkpoint of a torchvision-shaped ResNet, see :func:`.checkpoints.backbone_state`.
        out: ``.pth``, ``.pt`` or ``.safetensors``.
        target: One of :data:`TARGETS`.
        given: Mean, std and channel order, see :func:`.input_metadata.resolve_input`.

    Returns:
        What went where, for people, several lines.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        CheckpointError: It has no such backbone, or a tensor too many or too few; its input is unknown or contradicts
            ``given``; ``out`` has another suffix or is ``source``. Nothing was written.
    """
    check_output(source, out)
    if target not in TARGETS:
        raise CheckpointError(f'target should be one of {", ".join(TARGETS)}, got {target!r}.')
    checkpoint = load_plain_checkpoint(source)
    try:
        state = backbone_state(checkpoint)
        depth = infer_resnet_depth(state)
    except CheckpointError as error:
        raise CheckpointError(f'{source}: {error}') from error
    stored_meta = checkpoint.get('meta')
    stored_meta = stored_meta if isinstance(stored_meta, Mapping) else {}
    stored = stored_metadata(stored_meta)
    meta = {
        'method': stored.get('method', 'unknown'),
        'architecture': f'resnet{depth}',
        **resolve_input(source, stored, given or {}),
        'input_range': [0, 255],
        'source': file_source(source),
        **{key: stored_meta[key] for key in ('epoch', 'iter') if isinstance(stored_meta.get(key), int | str)},
        'uscl_plugin_version': __version__,
    }
    prefix = '' if target == 'torchvision' else 'backbone.'
    write_checkpoint(out, {prefix + name: tensor for name, tensor in state.items()}, meta, flat=target == 'torchvision')
    return '\n'.join(
        [
            f'{out}: {len(state)} backbone tensors (resnet{depth}, {meta["method"]}), names for {target}',
            f'input: mean {meta["mean"]}, std {meta["std"]} of 0..255, {meta["channel_order"]}',
            'left behind: ' + (_left_behind(checkpoint, len(state)) or 'nothing'),
        ]
    )


def check_output(source: str | Path, out: str | Path) -> None:
    """Refuse an output that could not be written, before any work is done.

    Raises:
        CheckpointError: ``out`` has an unknown suffix, is a folder, or is ``source`` itself.
    """
    out = Path(out)
    if out.suffix not in SUFFIXES:
        raise CheckpointError(f'{out} should end with one of {", ".join(SUFFIXES)}, which says the format.')
    if out.is_dir():
        raise CheckpointError(f'{out} is a folder: pass the name of the file to write.')
    if out.resolve() == Path(source).resolve():
        raise CheckpointError(f'{out} is the checkpoint itself: pass another name, it would be lost.')


def write_checkpoint(
    out: str | Path, state: Mapping[str, torch.Tensor], meta: Mapping[str, Any], *, flat: bool = False
) -> None:
    """Write tensors and metadata under a temporary name, then rename.

    Args:
        out: ``.safetensors`` (metadata as strings in the header) or another suffix (``torch.save``).
        state: Names to tensors of any memory format; each gets storage of its own.
        meta: Plain values.
        flat: Save the bare state dict, and ``meta`` as JSON in ``OUT.json``.
    """
    out = Path(out)
    # A fresh contiguous copy: a view would carry its whole storage along, and safetensors takes neither views nor
    # channels-last.
    tensors = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    if out.suffix == '.safetensors':
        header = {key: value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()}
        write_atomically(out, lambda path: save_file(tensors, path, metadata={'format': 'pt', **header}))
    elif flat:
        write_atomically(out, lambda path: torch.save(tensors, path))
        # The digest ties the two files together, should one of them be moved or replaced.
        sidecar = {**meta, 'weights': file_source(out)}
        text = json.dumps(sidecar, indent=1) + '\n'
        write_text(out.with_name(f'{out.name}.json'), text)
    else:
        write_atomically(out, lambda path: torch.save({'meta': dict(meta), 'state_dict': tensors}, path))


def _left_behind(checkpoint: Mapping, exported: int) -> str:
    """Counts of the tensors that were not exported, by first name in the state dict or by entry of the checkpoint."""
    state = checkpoint.get('state_dict')
    counts: Counter[str] = Counter()
    for name, value in (state if isinstance(state, Mapping) else checkpoint).items():
        counts[str(name).split('.')[0]] += _count(value)
    if 'backbone' in counts:
        counts['backbone'] -= exported
    else:  # bare names, where everything but fc is backbone
        counts = Counter({'fc': counts['fc']})
    if isinstance(state, Mapping):
        for name, value in checkpoint.items():
            counts[str(name)] += 0 if name == 'state_dict' else _count(value)
    return ', '.join(f'{name} {count}' for name, count in counts.items() if count)


def _count(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return 1
    if isinstance(value, Mapping):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list | tuple) else 0
