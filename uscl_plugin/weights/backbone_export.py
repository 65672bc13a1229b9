"""Export the backbone of a checkpoint in formats that other libraries load."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from uscl.version import __version__

from .checkpoint_error import CheckpointError
from .checkpoint_files import write_checkpoint
from .counterparts import Counterpart, Library, check_same, find_counterpart
from .hub_folder import write_hub_folder
from .input_metadata import file_source, origin, resolve_input, stored_metadata
from .onnx_export import write_onnx
from .plain_checkpoints import load_plain_checkpoint
from .plain_types import to_plain
from .provenance import VERSION, kept_provenance
from .stored_backbone import StoredBackbone, read_backbone

PREFIXED = ('mmdet', 'mmpretrain', 'mmseg')
BARE = ('torchvision', 'timm')
TARGETS = (*PREFIXED, *BARE, 'onnx', 'hub')
SUFFIXES = ('.pth', '.pt', '.safetensors')


def export_backbone(
    source: str | Path, out: str | Path, target: str, given: Mapping[str, Any] | None = None, half: bool = False
) -> str:
    """Write the backbone of ``source`` to ``out``, completely or not at all.

    OpenMMLab's libraries get ``{'meta', 'state_dict'}`` with ``backbone.`` names (``init_cfg`` with
    ``prefix='backbone.'``); torchvision and timm get a flat state dict with their names, whose metadata go to
    ``OUT.json``, if they have the same network (:mod:`.counterparts`). With the suffix ``.safetensors``, tensors have
    the same names and metadata are in the header. For ``onnx`` and ``hub``, see :func:`.onnx_export.write_onnx` and
    :func:`.hub_folder.write_hub_folder`. A backbone for grey images goes to torchvision, timm and hub as the equal one
    for colour.

    Args:
        source: A checkpoint with a backbone, see :func:`.stored_backbone.read_backbone`.
        out: ``.pth``, ``.pt`` or ``.safetensors``; ``.onnx``; for ``hub`` a folder that does not exist or is empty.
        target: One of :data:`TARGETS`.
        given: Mean, std and channel order, see :func:`.input_metadata.resolve_input`; ``license`` and ``data``.
        half: For ``hub``, store the weights in half precision.

    Returns:
        A report of several lines for the user.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        CheckpointError: ``source`` has no backbone, or extra or missing tensors; the target has no such network; its
            input is unknown or contradicts ``given``; ``out`` has another suffix or is ``source``; a package is
            missing. Nothing was written.
    """
    if target not in TARGETS:
        raise CheckpointError(f'target should be one of {", ".join(TARGETS)}, got {target!r}.')
    check_output(source, out, target)
    checkpoint = load_plain_checkpoint(source)
    found = read_backbone(source, checkpoint)
    if target in (*BARE, 'hub'):
        found = found.for_colour(source)
    network = found.build(source)
    meta = {
        **described(source, found, given or {}),
        **{key: found.meta[key] for key in ('epoch', 'iter') if isinstance(found.meta.get(key), int | str)},
    }
    state: Mapping[str, torch.Tensor] = network.state_dict()
    extra = []
    if target in PREFIXED:
        write_checkpoint(out, {f'backbone.{name}': tensor for name, tensor in state.items()}, meta)
        settings = ', '.join(f'{key}={value!r}' for key, value in found.config.items() if key != 'type')
        extra = [f"config: backbone=dict(type='mmpretrain.{found.config['type']}', {settings})"]
    elif target == 'onnx':
        meta = turn_to_rgb(network, meta)
        extra = write_onnx(out, network, meta)
    else:
        if target == 'hub':
            meta = turn_to_rgb(network, meta)
        other = _counterpart(source, found, network, 'torchvision' if target == 'torchvision' else 'timm', meta)
        state = other.to_theirs(network.state_dict())
        # What the names are, for whoever loads them
        meta |= {'names': other.library, 'model': other.name, 'arguments': other.arguments}
        extra = [f"checked: {other.library}'s {other.name} gives the same features"]
        if target == 'hub':
            extra += write_hub_folder(out, state, meta, other, half)
        else:
            write_checkpoint(out, state, meta, flat=True)
    return '\n'.join(
        [
            f'{out}: {len(state)} backbone tensors ({found.architecture}, {meta["method"]}), '
            + (f'names for {target}' if target in PREFIXED + BARE else f'written for {target}'),
            f'input: mean {meta["mean"]}, std {meta["std"]} of 0..255, {meta["channel_order"]}',
            'left behind: ' + left_behind(checkpoint, found),
            *([found.choice] if found.choice else []),
            *extra,
        ]
    )


def described(source: str | Path, found: StoredBackbone, given: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of an exported or imported backbone, whose input has to be known.

    Raises:
        CheckpointError: The input is unknown or contradicts ``given``.
    """
    stored = stored_metadata(found.meta)
    settled = resolve_input(source, stored, given)
    provenance = kept_provenance(found.meta).get('uscl') or {'version': VERSION}
    own_input = {key: settled[key] for key in ('mean', 'std')} | {'channels': settled['channel_order']}
    provenance['backbone'] = found.config
    stated = {key: value for key, value in (provenance.get('input') or {}).items() if value is not None}
    provenance['input'] = {'size': None, **own_input, **stated}
    return {
        **origin(stored, given),
        'architecture': found.architecture,
        **settled,
        'input_range': [0, 255],
        'source': file_source(source),
        'uscl_plugin_version': __version__,
        'uscl': to_plain(provenance),
    }


def _counterpart(
    source: str | Path, found: StoredBackbone, network: nn.Module, library: Library, meta: Mapping[str, Any]
) -> Counterpart:
    """The same network in another library, with equal features."""
    # Position embeddings and windows belong to a size; elsewhere a small one is enough to compare.
    size = found.config.get('img_size') or ((found.size or 224) if 'Swin' in found.config['type'] else 64)
    try:
        other = find_counterpart(found.config, network, library, size)
        check_same(found.config, network, other, network.state_dict(), size)
    except CheckpointError as error:
        raise CheckpointError(f'{source}: {error}') from error
    return other


def turn_to_rgb(network: nn.Module, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a network for BGR into the equal one for RGB, in place; its metadata, turned as well."""
    if meta['channel_order'] == 'rgb':
        return dict(meta)
    turned = {'mean': meta['mean'][::-1], 'std': meta['std'][::-1], 'channel_order': 'rgb'}
    stored = {key: turned[key] for key in ('mean', 'std')} | {'channels': 'rgb'}
    turned['uscl'] = {**meta['uscl'], 'input': {**meta['uscl']['input'], **stored}}
    first = next(weight for weight in network.parameters() if weight.ndim == 4)
    first.data = first.data.flip(1)
    return {**meta, **turned}


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


def left_behind(checkpoint: Mapping, found: StoredBackbone) -> str:
    """Counts of tensors that were not exported, by first name in the state dict or by checkpoint entry."""
    counts = dict(found.left)
    if isinstance(checkpoint.get('state_dict'), Mapping):
        others = {str(name): tree_leaves(value) for name, value in checkpoint.items() if name != 'state_dict'}
        counts |= {name: sum(isinstance(leaf, torch.Tensor) for leaf in leaves) for name, leaves in others.items()}
    return ', '.join(f'{name.rstrip(".")} {count}' for name, count in counts.items() if count) or 'nothing'
