"""Export the backbone of a checkpoint in formats that other libraries load."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from uscl.version import __version__

from .checkpoint_error import CheckpointError
from .checkpoint_files import stated_meta, write_checkpoint
from .hub_folder import write_hub_folder
from .input_metadata import file_source, origin, resolve_input, stored_metadata
from .onnx_export import write_onnx
from .plain_checkpoints import load_plain_checkpoint
from .provenance import kept_provenance
from .resnet_state import FoundBackbone, find_backbone, infer_resnet_depth

PREFIXED = ('mmdet', 'mmpretrain', 'mmseg')
BARE = ('torchvision', 'timm')
TARGETS = (*PREFIXED, *BARE, 'onnx', 'hub')
SUFFIXES = ('.pth', '.pt', '.safetensors')


def export_backbone(source: str | Path, out: str | Path, target: str, given: Mapping[str, Any] | None = None) -> str:
    """Write the backbone of ``source`` to ``out``, completely or not at all.

    OpenMMLab's libraries get ``{'meta', 'state_dict'}`` with ``backbone.`` names (``init_cfg`` with
    ``prefix='backbone.'``); torchvision and timm get a flat state dict, whose metadata go to ``OUT.json``. With the
    suffix ``.safetensors``, tensors have the same names and metadata are in the header. For ``onnx`` and ``hub``, see
    :func:`.onnx_export.write_onnx` and :func:`.hub_folder.write_hub_folder`.

    Args:
        source: A checkpoint of a torchvision-shaped ResNet, see :func:`.resnet_state.find_backbone`.
        out: ``.pth``, ``.pt`` or ``.safetensors``; ``.onnx``; for ``hub`` a folder that does not exist or is empty.
        target: One of :data:`TARGETS`.
        given: Mean, std and channel order, see :func:`.input_metadata.resolve_input`; ``license`` and ``data``.

    Returns:
        A report of several lines for the user.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        CheckpointError: ``source`` has no such backbone, or extra or missing tensors; its input is unknown or
            contradicts ``given``; ``out`` has another suffix or is ``source``; a package is missing. Nothing was
            written.
    """
    if target not in TARGETS:
        raise CheckpointError(f'target should be one of {", ".join(TARGETS)}, got {target!r}.')
    check_output(source, out, target)
    checkpoint = load_plain_checkpoint(source)
    found, depth = find_resnet(source, checkpoint)
    stored_meta = stated_meta(source, checkpoint)
    stored, given = stored_metadata(stored_meta), given or {}
    meta = {
        **origin(stored, given),
        'architecture': f'resnet{depth}',
        **resolve_input(source, stored, given),
        'input_range': [0, 255],
        'source': file_source(source),
        **{key: stored_meta[key] for key in ('epoch', 'iter') if isinstance(stored_meta.get(key), int | str)},
        'uscl_plugin_version': __version__,
        **kept_provenance(stored_meta),
    }
    state: Mapping[str, torch.Tensor] = found.state
    extra = []
    if target in PREFIXED:
        write_checkpoint(out, {f'backbone.{name}': tensor for name, tensor in state.items()}, meta)
    elif target in BARE:
        write_checkpoint(out, state, meta, flat=True)
    else:
        state, meta = as_rgb(state, meta)
        write = write_onnx if target == 'onnx' else write_hub_folder
        extra = write(out, state, meta)
    return '\n'.join(
        [
            f'{out}: {len(state)} backbone tensors (resnet{depth}, {meta["method"]}), '
            + (f'names for {target}' if target in PREFIXED + BARE else f'written for {target}'),
            f'input: mean {meta["mean"]}, std {meta["std"]} of 0..255, {meta["channel_order"]}',
            'left behind: ' + left_behind(checkpoint, found),
            *([found.choice] if found.choice else []),
            *extra,
        ]
    )


def find_resnet(source: str | Path, checkpoint: Mapping, prefix: str | None = None) -> tuple[FoundBackbone, int]:
    """The ResNet backbone of a checkpoint, and its depth.

    Raises:
        CheckpointError: There is none, or it is not a complete torchvision ResNet; the message names ``source``.
    """
    try:
        found = find_backbone(checkpoint, prefix)
        return found, infer_resnet_depth(found.state)
    except CheckpointError as error:
        raise CheckpointError(f'{source}: {error}') from error


def as_rgb(state: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict]:
    """Convert to the equivalent network with RGB input.

    Args:
        state: Torchvision's names to tensors; ``conv1.weight`` is (C, 3, 7, 7).
        meta: With ``channel_order``, ``mean`` and ``std``.

    Returns:
        Both; input channels, mean and std are reversed if the order was BGR.
    """
    if meta['channel_order'] == 'rgb':
        return dict(state), dict(meta)
    turned = {'mean': meta['mean'][::-1], 'std': meta['std'][::-1], 'channel_order': 'rgb'}
    if isinstance(provenance := meta.get('uscl'), Mapping):
        stored = {key: turned[key] for key in ('mean', 'std')} | {'channels': 'rgb'}
        turned['uscl'] = {**provenance, 'input': {**provenance['input'], **stored}}
    return {**state, 'conv1.weight': state['conv1.weight'].flip(1)}, {**meta, **turned}


def check_output(source: str | Path, out: str | Path, target: str | None = None) -> None:
    """Reject an output that could not be written, before any work is done.

    Raises:
        CheckpointError: ``out`` has an unknown suffix, is a folder (for ``hub``: a file, or not empty), or is
            ``source`` itself.
    """
    out = Path(out)
    if target == 'hub':
        if out.is_file() or (out.is_dir() and any(out.iterdir())):
            raise CheckpointError(f'{out} already exists: pass a new or empty folder.')
        return
    suffixes = ('.onnx',) if target == 'onnx' else SUFFIXES
    if out.suffix not in suffixes:
        raise CheckpointError(f'{out} should end with one of {", ".join(suffixes)}, which sets the format.')
    if out.is_dir():
        raise CheckpointError(f'{out} is a folder: pass the name of the file to write.')
    if out.resolve() == Path(source).resolve():
        raise CheckpointError(f'{out} is the checkpoint itself, which would be overwritten: pass another name.')


def left_behind(checkpoint: Mapping, found: FoundBackbone) -> str:
    """Counts of tensors that were not exported, by first name in the state dict or by checkpoint entry."""
    counts = dict(found.left)
    if isinstance(checkpoint.get('state_dict'), Mapping):
        others = {str(name): tree_leaves(value) for name, value in checkpoint.items() if name != 'state_dict'}
        counts |= {name: sum(isinstance(leaf, torch.Tensor) for leaf in leaves) for name, leaves in others.items()}
    return ', '.join(f'{name.rstrip(".")} {count}' for name, count in counts.items() if count) or 'nothing'
