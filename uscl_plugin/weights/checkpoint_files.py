"""Write tensors and metadata as a file that other libraries load, and read the metadata again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from uscl.core.atomic_files import write_atomically, write_text
from uscl.core.digest import file_digest

from .checkpoint_error import CheckpointError
from .input_metadata import file_source
from .plain_checkpoints import checkpoint_meta
from .tensor_digest import DIGEST, tensor_digest


def write_checkpoint(
    out: str | Path,
    state: Mapping[str, torch.Tensor],
    meta: Mapping[str, Any],
    *,
    flat: bool = False,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write tensors and metadata atomically.

    Args:
        out: ``.safetensors`` (metadata and a digest as strings in the header) or another suffix (``torch.save``).
        state: Names to tensors of any memory format; each gets its own storage.
        meta: Plain values.
        flat: Save the bare state dict, and ``meta`` as JSON in ``OUT.json``, see :func:`stated_meta`.
        more: Tensors and plain values to store beside state dict and metadata, where ``torch.save`` writes these.
    """
    out = Path(out)
    # A fresh contiguous copy: a view would save its whole storage, and safetensors accepts neither views nor
    # channels-last.
    tensors = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    if out.suffix == '.safetensors':
        header = {'format': 'pt', **as_strings(meta)}
        header[DIGEST] = tensor_digest(tensors, header)
        write_atomically(out, lambda path: save_file(tensors, path, metadata=header))
    elif flat:
        written: dict[str, str] = {}

        def save(path: Path) -> None:
            save_reproducibly(tensors, path)
            # It links the two files, in case one of them is moved, or replaced, perhaps by another export right now.
            written.update(file_source(path), file=out.name)

        write_atomically(out, save)
        write_text(_sidecar(out), json.dumps({**meta, 'weights': written}, indent=1) + '\n')
    else:
        content = {'meta': dict(meta), 'state_dict': tensors, **(more or {})}
        write_atomically(out, lambda path: save_reproducibly(content, path))


def save_reproducibly(content: dict[str, Any], path: Path) -> None:
    """Write a dict so that equal contents give equal bytes: given a path, torch stores the (temporary) name."""
    with path.open('wb') as file:
        torch.save(content, file)


def stated_meta(path: str | Path, checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a file says of itself: its ``meta``, or for the bare state dict of an export, the ``PATH.json`` beside it.

    Args:
        path: The file.
        checkpoint: Its content.

    Returns:
        Plain values; empty if nothing is known. A ``PATH.json`` that does not name weights is another program's.

    Raises:
        CheckpointError: ``PATH.json`` is not JSON, or was written for other weights.
    """
    path = Path(path)
    if meta := checkpoint_meta(checkpoint):
        return meta
    sidecar = _sidecar(path)
    remedy = f'export again, or delete {sidecar.name} and pass --mean --std --channel-order'
    try:
        found = json.loads(sidecar.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f'{sidecar} cannot be read ({type(error).__name__}): {remedy}.') from error
    weights = found.get('weights') if isinstance(found, dict) else None
    if not isinstance(weights, dict):
        return {}
    if weights.get('sha256') != file_digest(path):
        raise CheckpointError(f'{sidecar} was written for other weights than {path}: {remedy}.')
    return found


def _sidecar(path: Path) -> Path:
    return path.with_name(f'{path.name}.json')


def as_strings(meta: Mapping[str, Any]) -> dict[str, str]:
    """Metadata for formats that only store strings: other values become JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()}
