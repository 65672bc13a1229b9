"""Write tensors and metadata as a file that other libraries load."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from uscl.core.atomic_files import write_atomically, write_text

from .input_metadata import file_source


def write_checkpoint(
    out: str | Path, state: Mapping[str, torch.Tensor], meta: Mapping[str, Any], *, flat: bool = False
) -> None:
    """Write tensors and metadata atomically.

    Args:
        out: ``.safetensors`` (metadata as strings in the header) or another suffix (``torch.save``).
        state: Names to tensors of any memory format; each gets its own storage.
        meta: Plain values.
        flat: Save the bare state dict, and ``meta`` as JSON in ``OUT.json``.
    """
    out = Path(out)
    # A fresh contiguous copy: a view would save its whole storage, and safetensors accepts neither views nor
    # channels-last.
    tensors = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    if out.suffix == '.safetensors':
        header = {'format': 'pt', **as_strings(meta)}
        write_atomically(out, lambda path: save_file(tensors, path, metadata=header))
    elif flat:
        write_atomically(out, lambda path: torch.save(tensors, path))
        # The digest links the two files, in case one of them is moved or replaced.
        sidecar = {**meta, 'weights': file_source(out)}
        text = json.dumps(sidecar, indent=1) + '\n'
        write_text(out.with_name(f'{out.name}.json'), text)
    else:
        write_atomically(out, lambda path: torch.save({'meta': dict(meta), 'state_dict': tensors}, path))


def as_strings(meta: Mapping[str, Any]) -> dict[str, str]:
    """Metadata for formats that only store strings: other values become JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()}
