"""Import the checkpoint released by the USCL authors under this package's names."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from uscl.version import __version__

from .backbone_export import check_output
from .checkpoint_error import CheckpointError
from .checkpoint_files import write_checkpoint
from .input_metadata import file_source
from .plain_checkpoints import load_plain_checkpoint
from .resnet_state import CHILDREN, infer_resnet_depth

LINEARS = {'l1': 'neck.mlp.0', 'l2': 'neck.mlp.2', 'fc': 'head.classifier'}
CLASSIFIERS = ('projection', 'none')
# Released code: mean 0.5 and standard deviation 0.25 for [0, 1], images read as RGB.
INPUT = {'mean': [127.5] * 3, 'std': [63.75] * 3, 'channel_order': 'rgb', 'input_range': [0, 255]}

State = dict[str, torch.Tensor]


def import_official(source: str | Path, out: str | Path, classifier: str = 'projection') -> str:
    """Convert a released checkpoint, loading it without executing pickled code.

    Args:
        source: A state dict with ``features.N…``, ``l1``, ``l2`` (projection), ``fc`` (classifier on the projection,
            any number of classes), ``fc1``, ``fc2`` (unused in the released forward pass); names may begin with
            ``module.``. All but ``features`` are optional.
        out: ``.pth``, ``.pt`` or ``.safetensors``; receives ``backbone.*``, ``neck.mlp.{0,2}.*`` (``MoCoV2Neck``) and
            ``head.classifier.*`` (``USCLHead`` with ``cls_input='projection'``).
        classifier: 'projection', or 'none' to leave out ``fc``.

    Returns:
        A report of several lines for the user, one per group.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        CheckpointError: The layout is another one, backbone tensors are extra or missing, a head is incomplete, or
            heads do not fit together. Nothing was written.
    """
    check_output(source, out)
    if classifier not in CLASSIFIERS:
        raise CheckpointError(f'classifier should be one of {", ".join(CLASSIFIERS)}, got {classifier!r}.')
    state = _state_dict(load_plain_checkpoint(source))
    try:
        converted, meta, lines = convert_official(state, classifier)
    except CheckpointError as error:
        raise CheckpointError(f'{source}: {error}') from error
    meta |= {'source': file_source(source), 'uscl_plugin_version': __version__}
    write_checkpoint(out, converted, meta)
    return '\n'.join([*lines, f'{out}: {len(converted)} tensors written'])


def convert_official(state: Mapping[str, torch.Tensor], classifier: str) -> tuple[State, dict[str, Any], list[str]]:
    """Rename the tensors of a released state dict.

    Args:
        state: Released names to tensors.
        classifier: See :func:`import_official`.

    Returns:
        The tensors under this package's names, metadata, and one line per group: imported, absent or ignored.

    Raises:
        CheckpointError: See :func:`import_official`.
    """
    backbone = {_torchvision_name(name): value for name, value in state.items() if name.startswith('features.')}
    if not backbone:
        raise CheckpointError("there are no features.* tensors, so this is not the USCL authors' checkpoint.")
    depth = infer_resnet_depth(backbone)
    linears = {name: _linear(state, name) for name in LINEARS}
    if bool(linears['l1']) != bool(linears['l2']):
        raise CheckpointError(
            'only one of l1 and l2 is present, so the projection is incomplete: get the whole checkpoint.'
        )
    imported = [name for name in LINEARS if linears[name]]
    if 'fc' in imported and (classifier == 'none' or 'l2' not in imported):  # it needs the projection as input
        imported.remove('fc')
    _check_widths(512 if depth < 50 else 2048, {name: linears[name] for name in imported})

    converted = {f'backbone.{name}': value for name, value in backbone.items()}
    meta: dict[str, Any] = {'method': 'USCL (released)', 'architecture': f'resnet{depth}', **INPUT}
    lines = [f'features: imported as backbone (resnet{depth}), {len(backbone)} tensors']
    for old, new in LINEARS.items():
        if old in imported:
            converted |= {f'{new}.{part}': value for part, value in linears[old].items()}
            lines.append(f'{old}: imported as {new}, {len(linears[old])} tensors')
        else:
            lines.append(f'{old}: ignored, {len(linears[old])} tensors' if linears[old] else f'{old}: absent')
    if 'fc' in imported:
        meta |= {'num_classes': linears['fc']['weight'].shape[0], 'cls_input': 'projection'}
    others = Counter(name.split('.')[0] for name in state if name.split('.')[0] not in ('features', *LINEARS))
    lines += [f'{name}: ignored, {count} tensors' for name, count in others.items()]
    return converted, meta, lines


def _state_dict(checkpoint: Mapping) -> State:
    state = checkpoint.get('state_dict', checkpoint)
    items = state.items() if isinstance(state, Mapping) else ()
    tensors = {str(name): value for name, value in items if isinstance(value, torch.Tensor)}
    if tensors and all(name.startswith('module.') for name in tensors):  # saved from nn.DataParallel
        tensors = {name.removeprefix('module.'): value for name, value in tensors.items()}
    return tensors


def _torchvision_name(name: str) -> str:
    """Map a name to torchvision's; a name outside the layout is kept, and later reported as left over."""
    _, child, *rest = name.split('.')
    return '.'.join([CHILDREN[child], *rest]) if child in CHILDREN else name


def _linear(state: Mapping[str, torch.Tensor], name: str) -> State:
    """Weight and bias of a linear layer, or {} if it is absent."""
    found = {key.removeprefix(f'{name}.'): value for key, value in state.items() if key.startswith(f'{name}.')}
    if found and (set(found) != {'weight', 'bias'} or found['weight'].ndim != 2):
        raise CheckpointError(f'{name} should be a linear layer (weight and bias), got {sorted(found)}.')
    return found


def _check_widths(width: int, linears: Mapping[str, State]) -> None:
    """Check that every layer accepts the output of the previous one."""
    for name, linear in linears.items():
        outputs, inputs = linear['weight'].shape
        if inputs != width or linear['bias'].shape != (outputs,):
            raise CheckpointError(
                f'{name} has weight {tuple(linear["weight"].shape)} and bias {tuple(linear["bias"].shape)}, but should '
                f'take {width} inputs: the heads do not have the released layout.'
            )
        width = outputs
