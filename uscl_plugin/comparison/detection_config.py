"""The config of one detector in a comparison: the same for all backbones except for the weights and their input."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from uscl.options.comparison_options import DETECTOR, ComparisonOptions
from uscl_plugin.compat.quiet import without_false_alarms
from uscl_plugin.datasets.pipeline_settings import dataset_pipeline, settle_steps
from uscl_plugin.evaluation.backbones import PretrainedBackbone, write_backbone
from uscl_plugin.evaluation.finetuning import train_last_block
from uscl_plugin.weights.architectures import build_backbone, map_sizes, pyramid_settings, resnet_config, structure


def read_detector(config: str | Path) -> Config:
    """Read the config of a detector that starts from a pretrained backbone.

    Raises:
        FileNotFoundError: The config does not exist.
        ValueError: The detector starts from random weights.
    """
    if not Path(config).expanduser().is_file():
        raise FileNotFoundError(f"{config} does not exist: pass a detector's config, such as {DETECTOR.name}.")
    with without_false_alarms():
        cfg = Config.fromfile(Path(config).expanduser(), import_custom_modules=False)
    if 'checkpoint' not in (cfg.model.get('backbone', {}).get('init_cfg') or {}):
        raise ValueError(f'{config} uses no pretrained backbone: pass one with model.backbone.init_cfg.checkpoint.')
    return cfg


def detection_config(backbone: PretrainedBackbone, checkpoint: Path, seed: int, options: ComparisonOptions) -> Config:
    """Adapt a detector's config to a backbone and to lesion data.

    Args:
        backbone: Backbone, which defines the input.
        checkpoint: Its weights, with MMPretrain's names.
        seed: Seed of the run.
        options: Options of the comparison; the schedule's steps are scaled to its ``detection_epochs``. Epochs, size
            and workers of None keep the config's.

    Returns:
        The config, without a work directory.

    Raises:
        FileNotFoundError: The config does not exist.
        ValueError: The config's backbone uses no weights.
    """
    config, epochs, workers = options.detection_config, options.detection_epochs, options.workers
    size = options.detection_size
    cfg = read_detector(config)
    if structure(backbone.config) != structure(resnet_config(cfg.model.backbone.depth)):
        _replace_backbone(cfg, backbone, checkpoint)
    train_last_block(cfg, detector_backbone(backbone))
    cfg.model.backbone.init_cfg.update(checkpoint=str(checkpoint), prefix='backbone.')
    cfg.model.data_preprocessor.update(mean=backbone.mean, std=backbone.std, bgr_to_rgb=backbone.to_rgb)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(Path(str(options.detection_data)).expanduser().resolve())
        if workers is not None:
            loader.update(num_workers=workers, persistent_workers=workers > 0)
        for step in settle_steps(loader.dataset):
            if size is not None and step.type == 'Resize':
                step.scale = (round(size * max(step.scale) / min(step.scale)), size)
    if epochs is not None:
        scale = epochs / cfg.train_cfg.max_epochs
        cfg.train_cfg.max_epochs = epochs
        for schedule in cfg.param_scheduler:
            if schedule.get('by_epoch', True):
                schedule.end = epochs
                if 'milestones' in schedule:
                    schedule.milestones = [max(1, round(milestone * scale)) for milestone in schedule.milestones]
    cfg.train_cfg.val_interval = cfg.train_cfg.max_epochs  # only the last epoch counts
    cfg.randomness = dict(seed=seed, deterministic=False)
    return cfg


def detector_backbone(backbone: PretrainedBackbone) -> Any:
    """A backbone with random weights as it is in a detector: with all its maps, and without layers after them."""
    return build_backbone({**backbone.config, **pyramid_settings(backbone.config)})


def _replace_backbone(cfg: Config, backbone: PretrainedBackbone, checkpoint: Path) -> None:
    """Put another backbone into a detector with FPN: as many levels as it has maps, and coarser ones by pooling.

    The checkpoint is replaced by one of this network: more outputs can mean further norms, and fewer layers.
    """
    config = {**backbone.config, **pyramid_settings(backbone.config)}
    channels, strides = map_sizes(config)
    network = detector_backbone(backbone)
    missing, _ = network.load_state_dict(backbone.network.state_dict(), strict=False)
    assert all('norm' in name for name in missing), missing
    write_backbone(checkpoint, replace(backbone, network=network, config=config))
    init = cfg.model.backbone.init_cfg
    cfg.model.backbone = ConfigDict(config | {'type': f'mmpretrain.{config["type"]}', 'init_cfg': init})
    strides += [strides[-1] * 2**k for k in range(1, cfg.model.neck.num_outs - len(strides) + 1)]
    cfg.model.neck.in_channels = channels
    cfg.model.rpn_head.anchor_generator.strides = strides
    for name in ('bbox_roi_extractor', 'mask_roi_extractor'):
        if name in cfg.model.roi_head:
            cfg.model.roi_head[name].featmap_strides = strides[: len(channels)]


def describe_detection(options: ComparisonOptions) -> str | None:
    """A sentence on what the detector measures refer to, for the table; None without detectors."""
    if options.detection_data is None:
        return None
    data, cfg = options.detection_data, read_detector(options.detection_config)
    content = json.loads((Path(data).expanduser() / 'annotations' / 'val.json').read_text(encoding='utf-8'))
    scales = [min(step.scale) for step in dataset_pipeline(cfg.val_dataloader.dataset) if step.type == 'Resize']
    epochs, size = options.detection_epochs or cfg.train_cfg.max_epochs, options.detection_size or scales[0]
    return (
        f'Box and mask AP (IoU 0.5 to 0.95) and AP50 of {Path(options.detection_config).stem}, shorter side {size}, '
        f'after the last of {epochs} epochs, on the {len(content["images"])} images ({len(content["annotations"])} '
        f'lesions) of {data}/annotations/val.json; mean over seeds, no interval over patients.'
    )
