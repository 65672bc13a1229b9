"""The config of one detector of a comparison: the same for all backbones but for the weights and their input."""

from pathlib import Path

from mmengine.config import Config

from uscl_plugin.evaluation.backbones import PretrainedBackbone

from .methods import CONFIGS

DETECTOR = CONFIGS / 'udiat_b' / 'mask-rcnn_r18_fpn_uscl_last3_1xb2-30e_udiat-b.py'  # the paper's protocol


def detection_config(
    backbone: PretrainedBackbone,
    checkpoint: Path,
    data: str,
    seed: int,
    config: str | Path = DETECTOR,
    epochs: int | None = None,
    size: int | None = None,
) -> Config:
    """Point a detector's config at a backbone and at lesion data.

    Args:
        backbone: States the input.
        checkpoint: Its weights, in MMPretrain's names.
        data: Folder that ``lesions_to_coco.py`` wrote.
        seed: Of the run.
        config: The detector's, starting from a checkpoint.
        epochs: Of the run, steps of the schedule follow; None: the config's.
        size: Shorter side in pixels; None: the config's.

    Returns:
        The config, without a work directory.

    Raises:
        ValueError: The config's backbone has another depth.
    """
    cfg = Config.fromfile(config)
    if cfg.model.backbone.depth != backbone.depth:
        raise ValueError(f'{config} is for a ResNet-{cfg.model.backbone.depth}, the backbone is {backbone.depth}.')
    cfg.model.backbone.init_cfg.checkpoint = str(checkpoint)
    cfg.model.data_preprocessor.update(mean=backbone.mean, std=backbone.std, bgr_to_rgb=backbone.to_rgb)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(Path(data).expanduser().resolve())
        for step in loader.dataset.pipeline:
            if size is not None and step.type == 'Resize':
                step.scale = (round(size * step.scale[0] / step.scale[1]), size)
    if epochs is not None:
        scale = epochs / cfg.train_cfg.max_epochs
        cfg.train_cfg.max_epochs = epochs
        for schedule in cfg.param_scheduler:
            if schedule.get('by_epoch', True):
                schedule.end = epochs
                schedule.milestones = [max(1, round(milestone * scale)) for milestone in schedule.milestones]
    cfg.train_cfg.val_interval = cfg.train_cfg.max_epochs  # the last alone counts
    cfg.randomness = dict(seed=seed, deterministic=False)
    return cfg
