"""Write a backbone as a folder that timm reads and model hubs show: weights, config.json, model card."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from uscl.core.atomic_files import temporary_path, write_text
from uscl.core.escaping import for_markdown

from .checkpoint_error import CheckpointError
from .checkpoint_files import write_checkpoint
from .counterparts import Counterpart
from .input_metadata import NOT_STATED, file_source


def write_hub_folder(
    folder: str | Path,
    state: Mapping[str, torch.Tensor],
    meta: Mapping[str, Any],
    network: Counterpart,
    half: bool = False,
) -> list[str]:
    """Write ``model.safetensors``, ``config.json`` and ``README.md``, all or nothing; nothing is uploaded.

    Args:
        folder: A new or empty folder.
        state: timm's names to tensors, for RGB.
        meta: Metadata from :func:`.backbone_export.export_backbone`.
        network: timm's network.
        half: Store the weights in half precision; whoever loads them into a network gets single precision again.

    Returns:
        A description of the folder for the user.

    Raises:
        CheckpointError: A weight is too large for half precision, or huggingface_hub is missing.
    """
    folder = Path(folder)
    if half:
        state = {name: _halved(name, tensor) for name, tensor in state.items()}
        meta = {**meta, 'precision': 'float16'}
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(folder)
    try:
        temporary.mkdir()
        write_checkpoint(temporary / 'model.safetensors', state, meta)
        write_text(temporary / 'config.json', json.dumps(timm_config(meta, network), indent=2) + '\n')
        sources = [file_source(temporary / name) for name in ('model.safetensors', 'config.json')]
        write_text(temporary / 'README.md', model_card(folder.name, meta, network, sources))
        if folder.is_dir():
            folder.rmdir()  # it is empty, and Windows cannot rename onto a folder
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [f'{folder}: model.safetensors, config.json (read by timm), README.md (the model card: complete it)']


def _halved(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    if (half := tensor.half()).isinf().any():
        largest = float(tensor.abs().max())
        raise CheckpointError(f'{name} has {largest:.3g}, too large for half precision: export without --half.')
    return half


def timm_config(meta: Mapping[str, Any], network: Counterpart) -> dict[str, Any]:
    """Settings for timm: architecture and preprocessing, with mean and std for [0, 1]."""
    unit = {key: [value / 255 for value in meta[key]] for key in ('mean', 'std')}
    known: Any = network.network.default_cfg  # timm's networks have it
    fixed = known.get('fixed_input_size', False)
    size = (meta['uscl']['input']['size'] if fixed else None) or 224
    return {
        'architecture': network.name,
        'num_classes': 0,
        'num_features': network.network.num_features,
        **({'model_args': network.arguments} if network.arguments else {}),
        'pretrained_cfg': {
            'custom_load': False,
            'input_size': [3, size, size],
            'fixed_input_size': fixed,
            'interpolation': 'bilinear',
            'crop_pct': 1.0,
            'crop_mode': 'squash',  # squash the whole frame to a square, as in training
            **unit,
            'num_classes': 0,
            'pool_size': [-(-size // 32)] * 2,
            'first_conv': known.get('first_conv'),
            'classifier': known.get('classifier'),
            'license': meta['license'],
        },
        'uscl_plugin': dict(meta),
    }


def model_card(folder: str, meta: Mapping[str, Any], network: Counterpart, sources: list[dict[str, str]]) -> str:
    """The model card, with metadata for model hubs. A licence that is no identifier becomes 'other' with a name.

    Args:
        folder: Name of the folder, for the code that loads it.
        meta: See :func:`write_hub_folder`.
        network: timm's network.
        sources: Names and SHA-256 of the other files in the folder.

    Raises:
        CheckpointError: huggingface_hub is missing.
    """
    try:
        from huggingface_hub import ModelCard, ModelCardData
    except ImportError as error:
        raise CheckpointError("--to hub needs huggingface_hub: pip install 'uscl_plugin[export]'.") from error
    licence = 'unknown' if meta['license'] == NOT_STATED else meta['license']
    is_identifier = re.fullmatch(r'[A-Za-z0-9.+-]+', licence) is not None
    data = ModelCardData(
        license=licence.lower() if is_identifier else 'other',
        license_name=None if is_identifier else licence,
        library_name='timm',
        pipeline_tag='image-feature-extraction',
        tags=['ultrasound', 'self-supervised', 'timm'],
        datasets=None if meta['data'] == NOT_STATED else meta['data'].split(', '),
    )
    texts = {key: meta[key] for key in ('method', 'data', 'license')} | {'architecture': network.name}
    numbers: dict[str, Any] = {key: meta[key] for key in ('mean', 'std')}
    numbers |= {f'unit_{key}': [round(value / 255, 6) for value in meta[key]] for key in ('mean', 'std')}
    texts |= {'folder': folder, 'source': f'{meta["source"]["file"]} (SHA-256 {meta["source"]["sha256"]})'}
    card = ModelCard.from_template(
        data,
        template_path=str(Path(__file__).with_name('templates') / 'model_card.md'),
        **{key: for_markdown(text) for key, text in texts.items()},
        **numbers,
        num_features=network.network.num_features,
        depth=re.sub(r'\D', '', meta['architecture']),
        is_resnet=re.fullmatch(r'resnet\d+', meta['architecture']) is not None,  # named alike everywhere
        version=meta['uscl_plugin_version'],
        sources=sources,
    )
    return f'{card}\n'
