"""Write a backbone as a folder that timm reads and model hubs show: weights, config.json, model card."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from uscl.core.atomic_files import TEMPORARY, write_text
from uscl.core.escaping import for_markdown

from .checkpoint_files import write_checkpoint
from .input_metadata import NOT_STATED, file_source


def write_hub_folder(folder: str | Path, state: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> list[str]:
    """Write ``model.safetensors``, ``config.json`` and ``README.md``, all or nothing; nothing is uploaded.

    Args:
        folder: A new or empty folder.
        state: Torchvision's names (the same as timm's) to tensors, for RGB.
        meta: Metadata from :func:`.backbone_export.export_backbone`.

    Returns:
        A description of the folder for the user.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(TEMPORARY.format(name=folder.name, pid=os.getpid()))
    try:
        temporary.mkdir()
        write_checkpoint(temporary / 'model.safetensors', state, meta)
        write_text(temporary / 'config.json', json.dumps(timm_config(meta), indent=2) + '\n')
        sources = [file_source(temporary / name) for name in ('model.safetensors', 'config.json')]
        write_text(temporary / 'README.md', model_card(folder.name, meta, sources))
        if folder.is_dir():
            folder.rmdir()  # it is empty, and Windows cannot rename onto a folder
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [f'{folder}: model.safetensors, config.json (read by timm), README.md (the model card: complete it)']


def timm_config(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for timm: architecture and preprocessing, with mean and std for [0, 1]."""
    unit = {key: [value / 255 for value in meta[key]] for key in ('mean', 'std')}
    return {
        'architecture': meta['architecture'],
        'num_classes': 0,
        'num_features': num_features(meta),
        'pretrained_cfg': {
            'custom_load': False,
            'input_size': [3, 224, 224],
            'fixed_input_size': False,
            'interpolation': 'bilinear',
            'crop_pct': 1.0,
            'crop_mode': 'squash',  # squash the whole frame to a square, as in training
            **unit,
            'num_classes': 0,
            'pool_size': [7, 7],
            'first_conv': 'conv1',
            'classifier': 'fc',
            'license': meta['license'],
        },
        'uscl_plugin': dict(meta),
    }


def model_card(folder: str, meta: Mapping[str, Any], sources: list[dict[str, str]]) -> str:
    """The model card, with YAML front matter.

    Args:
        folder: Name of the folder, for the code that loads it.
        meta: See :func:`write_hub_folder`.
        sources: Names and SHA-256 of the other files in the folder.
    """
    return _card_template().render(
        **{key: meta[key] for key in ('architecture', 'method', 'data', 'license')},
        **{key: Markup(meta[key]) for key in ('mean', 'std')},
        folder=folder,
        front=Markup(_front_matter(meta)),
        num_features=num_features(meta),
        depth=meta['architecture'].removeprefix('resnet'),
        unit_mean=Markup([round(value / 255, 6) for value in meta['mean']]),
        unit_std=Markup([round(value / 255, 6) for value in meta['std']]),
        version=meta['uscl_plugin_version'],
        source=f'{meta["source"]["file"]} (SHA-256 {meta["source"]["sha256"]})',
        sources=sources,
    )


def _card_template() -> Template:
    environment = Environment(
        loader=PackageLoader('uscl_plugin.weights'),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else for_markdown(str(value)),
    )
    return environment.get_template('model_card.md')


def num_features(meta: Mapping[str, Any]) -> int:
    """Channels of the last stage: 512 with basic blocks, 2048 with bottlenecks."""
    return 512 if meta['architecture'] in ('resnet18', 'resnet34') else 2048


def _front_matter(meta: Mapping[str, Any]) -> str:
    """YAML front matter; JSON strings are valid YAML. A licence that is no identifier becomes 'other' with a name."""
    licence = meta['license']
    if licence == NOT_STATED:
        lines = ['license: unknown']
    elif re.fullmatch(r'[A-Za-z0-9.+-]+', licence):
        lines = [f'license: {json.dumps(licence.lower())}']
    else:
        lines = ['license: other', f'license_name: {json.dumps(licence, ensure_ascii=False)}']
    lines += ['library_name: timm', 'pipeline_tag: image-feature-extraction']
    lines += ['tags:', '- ultrasound', '- self-supervised', '- resnet', '- timm']
    if meta['data'] != NOT_STATED:
        lines += ['datasets:', *(f'- {json.dumps(name, ensure_ascii=False)}' for name in meta['data'].split(', '))]
    return '\n'.join(lines) + '\n'
