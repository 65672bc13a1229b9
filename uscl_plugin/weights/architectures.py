"""Backbones by name, as configs of MMPretrain's, with residual branches that are open from the start."""

import inspect
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from uscl_plugin.compat.backbone_io import input_channels, pool
from uscl_plugin.models.backbones import MapTIMMBackbone

_OPEN = {'zero_init_residual': False}  # MMPretrain starts the branches of its ResNets at 0
ARCHITECTURES: dict[str, dict[str, Any]] = {
    **{f'resnet{depth}': dict(type='ResNet', depth=depth, **_OPEN) for depth in (18, 34, 50, 101, 152)},
    'resnext50': dict(type='ResNeXt', depth=50, groups=32, width_per_group=4, **_OPEN),
    'seresnet50': dict(type='SEResNet', depth=50, **_OPEN),
    'regnetx_400mf': dict(type='RegNet', arch='regnetx_400mf', **_OPEN),
    # Statistics of batch norm move by 0.1 a step, as everywhere else. By 0.01, as in MMPretrain, two thirds are still
    # the initial ones after 40 steps, and the features of a short run collapse in evaluation.
    'mobilenet_v3_small': dict(type='MobileNetV3', arch='small', norm_cfg=dict(type='BN', eps=0.001, momentum=0.1)),
    'convnext_atto': dict(type='ConvNeXt', arch='atto', layer_scale_init_value=1.0),
    'convnext_tiny': dict(type='ConvNeXt', arch='tiny', layer_scale_init_value=1.0),
    'swin_tiny': dict(type='SwinTransformer', arch='tiny'),
    # DeiT's; the patch tokens are averaged, because a class token has no map for CAMs and detectors.
    'vit_tiny': dict(type='VisionTransformer', arch='deit-tiny', out_type='featmap'),
    'shufflenet_v2': dict(type='ShuffleNetV2', widen_factor=1.0),
}
# Switches of timm's networks for open branches; each network has one of them or none.
_TIMM_SWITCHES = ({'zero_init_last': False}, {'ls_init_value': 1.0})
# Settings that matter in training alone.
_SWIN_SIZE = 224  # below, Swin's last map is smaller than its window
TRAINING_SETTINGS = ('init_cfg', 'pretrained', 'frozen_stages', 'norm_eval', 'with_cp')
# Settings that do not change what a network with given weights computes, or that follow the size of the input.
_FREE = ('img_size', 'out_indices', 'zero_init_residual', 'layer_scale_init_value', 'pad_small_map', 'drop_path_rate')


# Outputs of a backbone for detectors: maps of falling resolution
_STAGES = (0, 1, 2, 3)
LEVELS = dict.fromkeys(
    ('ResNet', 'ResNeXt', 'SEResNet', 'SEResNeXt', 'ResNetV1c', 'ResNetV1d', 'RegNet', 'ConvNeXt', 'SwinTransformer'),
    _STAGES,
) | {'MobileNetV3': (1, 3, 8, 12), 'ShuffleNetV2': (0, 1, 3), 'EfficientNet': (2, 3, 4, 6)}
_BLOCK = re.compile(r'(^|\.)(layer)?\d+$')  # blocks are numbered


@dataclass(frozen=True)
class OutputKind:
    """What a backbone returns for images (N, C, H, W).

    Attributes:
        channels: Features per image after pooling.
        is_map: Whether its last output is a map (N, channels, h, w), rather than a vector (N, channels).
        stride: Pixels of the image per pixel of that map; 0 for a vector.
    """

    channels: int
    is_map: bool
    stride: int


def build_backbone(config: Mapping[str, Any]) -> Any:
    """A backbone of MMPretrain, whatever host is the default."""
    return MODELS.build({**config, '_scope_': 'mmpretrain'})


def backbone_config(name: str, size: int) -> dict[str, Any]:
    """The config of a backbone by name.

    Args:
        name: One of :data:`ARCHITECTURES`; ``timm:NAME`` with a model of timm; or the path of a config, whose
            ``model.backbone`` is taken.
        size: Side length of its input in pixels, which position embeddings depend on.

    Raises:
        FileNotFoundError: The config does not exist.
        ValueError: There is no backbone of this name; timm is missing.
    """
    if name in ARCHITECTURES:
        config = dict(ARCHITECTURES[name])
        if config['type'] == 'VisionTransformer':
            config['img_size'] = size
        if config['type'] == 'SwinTransformer' and size < _SWIN_SIZE:
            config['pad_small_map'] = True
        return config
    if name.startswith('timm:'):
        return _timm_config(name.removeprefix('timm:'), size)
    if name.endswith('.py'):
        if not Path(name).expanduser().is_file():
            raise FileNotFoundError(f'{name} does not exist: pass a config with model.backbone.')
        backbone = (Config.fromfile(Path(name).expanduser()).get('model') or {}).get('backbone')
        if not backbone:
            raise ValueError(f'{name} has no model.backbone: pass a config of MMPretrain with a backbone.')
        return backbone.to_dict()
    raise ValueError(f'{name} is no backbone: use {", ".join(ARCHITECTURES)}, timm:NAME or a config (.py).')


def architecture_name(config: Mapping[str, Any]) -> str:
    """A short name of a backbone, such as ``resnet18`` or ``timm:tf_efficientnet_lite0``; its type if it has none."""
    if 'model_name' in config:
        return f'timm:{config["model_name"]}'
    own = structure(config)
    return next((name for name, known in ARCHITECTURES.items() if structure(known) == own), str(config['type']))


def resnet_config(depth: int) -> dict[str, Any]:
    """The config of a plain ResNet, as the shipped configs have it."""
    return {**ARCHITECTURES[f'resnet{depth}'], 'out_indices': (3,)}


def output_kind(network: nn.Module, size: int = 64) -> OutputKind:
    """Run a backbone on one image, in evaluation mode, to see what it returns.

    Args:
        network: The backbone.
        size: Side length of the image in pixels.

    Raises:
        ValueError: It returns tokens, or something else that cannot be pooled.
    """
    training = network.training
    network.eval()
    with torch.no_grad():
        output = network(torch.zeros(1, input_channels(network), size, size))
    if training:
        network.train()
    channels = pool(output).shape[1]
    last = output if isinstance(output, Tensor) else output[-1]
    return OutputKind(channels, last.ndim == 4, size // last.shape[2] if last.ndim == 4 else 0)


def map_sizes(config: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Channels and strides of the maps of a backbone with several outputs.

    Raises:
        ValueError: An output is no map.
    """
    size = config.get('img_size') or 224
    network = build_backbone(config)
    network.eval()
    with torch.no_grad():
        maps = network(torch.zeros(1, input_channels(network), size, size))
    if not all(each.ndim == 4 for each in maps):
        raise ValueError(
            f"{config['type']} returns vectors, but detectors need maps: train it with out_type='featmap'."
        )
    return [each.shape[1] for each in maps], [round(size / each.shape[2]) for each in maps]


def pyramid_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with which a backbone returns maps of several resolutions, from a stride of 4; empty if it cannot."""
    kind = config['type']
    if str(kind).endswith('TIMMBackbone'):
        network, pyramid = (build_backbone({**config, 'features_only': each}) for each in (False, True))
        if not set(pyramid.state_dict()) <= set(network.state_dict()):  # timm renames some
            return {}
        steps = pyramid.timm_model.feature_info.reduction()
        return {'features_only': True, 'out_indices': tuple(k for k, step in enumerate(steps) if step >= 4)}
    levels: dict[str, Any] = {'out_indices': LEVELS[kind]} if kind in LEVELS else {}
    return levels | ({'gap_before_final_norm': False} if kind == 'ConvNeXt' else {})  # maps instead of vectors


def last_block(network: nn.Module) -> list[str]:
    """Names of the last block of a backbone, with at least two layers, and of the modules after it.

    These are ``layer4.1`` of a ResNet-18 and ``layer4.2`` of a ResNet-50; a MobileNetV3 has a convolution after it.
    """
    *_, chosen = (name for name, module in network.named_modules() if _BLOCK.search(name) and _layers(module) > 1)
    names = [name for name, _ in network.named_parameters()]
    after = max(k for k, name in enumerate(names) if name.startswith(f'{chosen}.')) + 1
    return [chosen, *dict.fromkeys(name.rpartition('.')[0] for name in names[after:])]


def _layers(module: nn.Module) -> int:
    return sum(isinstance(child, nn.Linear | nn.Conv2d) for child in module.modules())


def structure(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a config that make its network another one, without those that its class has anyway."""
    defaults = _signature_defaults(config['type'])
    kept = {key: value for key, value in config.items() if key not in (*TRAINING_SETTINGS, *_FREE)}
    return {
        key: _settled(value) for key, value in kept.items() if key == 'type' or not _is(value, defaults.get(key, ...))
    }


def _signature_defaults(kind: Any) -> dict[str, Any]:
    """Defaults of the arguments of a backbone's class, those of base classes included."""
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    found: dict[str, Any] = {}
    for each in reversed(inspect.getmro(kind)):
        if '__init__' in vars(each):
            found |= {
                p.name: p.default for p in inspect.signature(each).parameters.values() if p.default is not p.empty
            }
    return found


def _is(value: Any, default: Any) -> bool:
    return _settled(value) == _settled(default)


def _settled(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {key: _settled(each) for key, each in value.items() if key not in ('requires_grad', 'momentum')}
        return kept | ({'type': 'BN'} if kept.get('type') in ('SyncBN', 'BN2d') else {})
    return tuple(map(_settled, value)) if isinstance(value, list | tuple) else value


def _timm_config(name: str, size: int) -> dict[str, Any]:
    """The config of a timm model with the switches that it has."""
    try:
        import timm
    except ImportError as error:
        raise ValueError(f"timm:{name} needs timm: pip install 'uscl_plugin[export]'.") from error
    if not timm.is_model(name):
        close = timm.list_models(f'*{name[:8]}*')[:4]
        raise ValueError(f'timm has no model {name}: {", ".join(close) or "see timm.list_models()"}.')
    config: dict[str, Any] = dict(type='MapTIMMBackbone', model_name=name, pretrained=False)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for switch in (*_TIMM_SWITCHES, {}):
            for own_size in ({'img_size': size}, {}):
                try:
                    MapTIMMBackbone(name, **switch, **own_size)
                except TypeError:  # this network has no such switch
                    continue
                return config | switch | own_size
    raise ValueError(f'timm:{name} cannot be built: use another model.')


def accepted_settings(kind: str) -> set[str]:
    """Names of the arguments of a backbone of MMPretrain, those of base classes included; empty if unknown."""
    return set(_signature_defaults(kind)) | {'depth', 'arch', 'model_name'} if MODELS.get(kind) else set()
