"""Put another backbone, or pretrained weights, into a pretraining config."""

from pathlib import Path

from mmengine.config import Config, ConfigDict

from uscl_plugin.compat.backbone_io import input_channels
from uscl_plugin.weights.architectures import (
    architecture_name,
    backbone_config,
    build_backbone,
    output_kind,
    structure,
)
from uscl_plugin.weights.backbone_export import export_backbone
from uscl_plugin.weights.stored_backbone import read_backbone

_SHIPPED = 512  # features of ResNet-18, which the shipped configs have


def set_backbone(cfg: Config, name: str, size: int) -> None:
    """Replace the backbone of a config, and fit neck and head to it.

    Args:
        cfg: A pretraining config for a ResNet-18; changed in place.
        name: See :func:`~uscl_plugin.weights.architectures.backbone_config`.
        size: Side length of the input in pixels.

    Raises:
        FileNotFoundError: The config that it names does not exist.
        ValueError: There is no such backbone, or its output cannot be pooled.
    """
    if name == 'resnet18':
        return
    config = backbone_config(name, size)
    if config['type'] == 'ResNet':
        config = {**cfg.model.backbone, **config}
    cfg.model.backbone = ConfigDict(config)
    network = build_backbone(config)
    output = output_kind(network, size)
    for part in ('neck', 'head'):
        settings = cfg.model.get(part) or {}
        if settings.get('in_channels') == _SHIPPED:  # the head may classify the projection
            settings['in_channels'] = output.channels
    if input_channels(network) == 1:
        preprocessor = cfg.model.data_preprocessor
        if preprocessor.type not in ('SelfSupDataPreprocessor', 'SPGDataPreprocessor'):
            raise ValueError(f'{name} takes grey images, which this method does not prepare: use another method.')
        mixed = {key: preprocessor[key][0] for key in ('mean', 'std')}
        preprocessor.update(type='SPGDataPreprocessor', channels=1, **{key: [mixed[key]] for key in mixed})
    if not output.is_map:
        fit_neck_to_vector(cfg)


def fit_neck_to_vector(cfg: Config) -> None:
    """Leave out the pooling, for a backbone that returns vectors."""
    neck = cfg.model.get('neck') or {}
    if neck.get('type') == 'GlobalAveragePooling':
        cfg.model.neck = None
    elif 'with_avg_pool' in neck:
        neck['with_avg_pool'] = False


def start_from(cfg: Config, source: str, copy: Path) -> None:
    """Load a backbone before the first step, and normalise the input as it was trained.

    Args:
        cfg: A pretraining config with the same backbone; changed in place.
        source: The file.
        copy: Receives the weights with MMPretrain's names.

    Raises:
        CheckpointError: ``source`` has no backbone, or its input is unknown.
        ValueError: It is another one.
    """
    found = read_backbone(source)
    own = {key: value for key, value in cfg.model.backbone.items() if key != 'init_cfg'}
    if structure(found.config) != structure(own):
        raise ValueError(
            f'{source} is a {found.architecture}, but the run trains a {architecture_name(own)}: set --backbone '
            f'{found.architecture}, or pass other weights.'
        )
    export_backbone(source, copy, 'mmpretrain')
    expected = read_backbone(copy).meta
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(copy.resolve()), prefix='backbone.')
    cfg.model.data_preprocessor.update(
        mean=list(expected['mean']), std=list(expected['std']), to_rgb=expected['channel_order'] == 'rgb'
    )
