"""Import the backbone of another library's checkpoint under this package's names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uscl.version import __version__

from .backbone_export import check_output, described, left_behind
from .checkpoint_files import write_checkpoint
from .input_metadata import INPUT_KEYS, file_source, origin, stored_metadata
from .plain_checkpoints import load_plain_checkpoint
from .provenance import kept_provenance
from .stored_backbone import read_backbone

UNKNOWN_INPUT = {'input': 'unknown input normalisation'}


def import_backbone(
    source: str | Path, out: str | Path, given: Mapping[str, Any] | None = None, prefix: str | None = None
) -> str:
    """Convert the backbone of any recognised layout, loading it without executing pickled code.

    Args:
        source: A checkpoint with a backbone, see :func:`.stored_backbone.read_backbone`.
        out: ``.pth``, ``.pt`` or ``.safetensors``; receives ``backbone.*``.
        given: ``mean``, ``std``, ``channel_order``, ``method``, ``license``, ``data``. If nothing is known about the
            input, the metadata say so, and tools that use the file ask for it.
        prefix: Prefix of the backbone's names, if there are several backbones; None to recognise it.

    Returns:
        A report of several lines for the user.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        CheckpointError: The file has no such backbone or several, extra or missing tensors, or the input is partly
            known or contradicts ``given``. Nothing was written.
    """
    check_output(source, out)
    checkpoint = load_plain_checkpoint(source)
    found, given = read_backbone(source, checkpoint, prefix), given or {}
    found.build(source)
    stored = stored_metadata(found.meta)
    known = any(known.get(key) is not None for known in (stored, given) for key in INPUT_KEYS)
    meta = {
        **origin(stored, given),
        'architecture': found.architecture,
        **UNKNOWN_INPUT,
        'source': file_source(source),
        'uscl_plugin_version': __version__,
        **kept_provenance(found.meta),
    }
    if known:
        meta = described(source, found, given)
    write_checkpoint(out, {f'backbone.{name}': tensor for name, tensor in found.state.items()}, meta)
    expects = (
        f'mean {meta["mean"]}, std {meta["std"]} of 0..255, {meta["channel_order"]}'
        if known
        else 'unknown normalisation, tools will ask for --mean --std --channel-order (pass them here to keep them)'
    )
    return '\n'.join(
        [
            f'{out}: {len(found.state)} backbone tensors ({found.architecture}, {meta["method"]}) named '
            f'"{found.prefix}…"',
            f'input: {expects}',
            f'left behind: {left_behind(checkpoint, found)}',
            *([f'{found.choice}: --prefix selects another'] if found.choice else []),
        ]
    )
