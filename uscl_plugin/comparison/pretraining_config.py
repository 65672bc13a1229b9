"""The config of one pretraining run in a comparison: the method's own, on the common data, budget and seed."""

import copy
import os
import warnings
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from uscl.core.shipped_files import CONFIGS
from uscl.options.common_settings import CommonSettings
from uscl_plugin.datasets.pipeline_settings import set_input_size

from .backbone_choice import set_backbone
from .budget import Budget, match_budget
from .methods import Method

# Config keys that the comparison sets for all rows.
COMMON = (
    *(
        f'train_dataloader.dataset.{key}'
        for key in ('data_root', 'split', 'label_map', 'classes', 'filter_cfg', 'seed')
    ),
    *('train_dataloader.batch_size', 'train_dataloader.num_workers', 'train_dataloader.persistent_workers'),
    *('train_cfg', 'param_scheduler', 'randomness', 'work_dir'),
)


def pretraining_config(method: Method, settings: CommonSettings, seed: int) -> tuple[Config, Budget]:
    """Adapt a method's config to the common data, budget and seed.

    The length of the schedule, the number of classes and the queue, if any, are adjusted. The schedule is stepped by
    iteration, so that methods with longer epochs get the same schedule. A queue holds at most half an epoch: a longer
    one would often contain the same frames again, as negatives of themselves.

    Args:
        method: Method with a config.
        settings: The common settings.
        seed: Seed of weights, order and draws, and of the choice of labelled videos.

    Returns:
        The config, without a work directory, and its budget.

    Raises:
        ValueError: The config trains on another type of dataset, or by iterations; an option is common to all rows, or
            has no effect; there are too few data, or no labels for a method that needs them.
    """
    cfg = Config.fromfile(method.config)
    _check_options(method, cfg)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    if CONFIGS in Path(str(method.config)).resolve().parents:  # others come with their own backbone
        set_backbone(cfg, settings.backbone, settings.size)
    cfg.merge_from_dict(method.options)
    loader, dataset = cfg.train_dataloader, cfg.train_dataloader.dataset
    if dataset.get('type') != 'VideoClusterDataset' or not cfg.train_cfg.get('max_epochs'):
        raise ValueError(f'{method.config} should train by epochs on an unwrapped VideoClusterDataset.')
    own_samples = dataset.get('samples_per_video', 1)
    dataset.update(data_root=str(Path(settings.pretrain_data).expanduser().resolve()), split=settings.pretrain_split)
    dataset.update(label_map=None, classes=None, filter_cfg=None, seed=seed)
    if 'train_dataloader.dataset.label_fraction' not in method.options:
        dataset.label_fraction = settings.label_fraction
    try:
        set_input_size(dataset, settings.size)
    except ValueError as error:  # for example, an unknown pipeline step
        raise ValueError(f'{method.name}: {error}') from error

    dataset.samples_per_video = 1
    data = DATASETS.build(copy.deepcopy(dataset))
    whole = {'keep_unlabelled': True, 'data_fraction': 1.0, 'pipeline': []}
    everything = DATASETS.build({**copy.deepcopy(dataset), **whole})
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # from mmcv, on how it would augment
        inputs = data[0]['inputs']
    views = len(inputs) if isinstance(inputs, list) else 1
    if not dataset.get('keep_unlabelled', True):
        own_samples = 2 // views  # its config is for its own data: an epoch is as long as USCL's
    budget = match_budget(settings.epochs, settings.batch_size, len(everything), len(data), views, own_samples)
    _check_data(cfg, data, budget)
    dataset.samples_per_video = budget.samples_per_video
    loader.batch_size = budget.batch_size
    loader.num_workers = min(4, os.cpu_count() or 1) if settings.workers is None else settings.workers
    loader.persistent_workers = loader.num_workers > 0

    _set_length(cfg, budget.epochs)
    if 'num_classes' in cfg.model.get('head', {}):
        cfg.model.head.num_classes = max(1, len(everything.metainfo['classes']))
    if 'input_size' in cfg.model:
        cfg.model.input_size = settings.size
    if 'queue_len' in cfg.model:
        longest = min(cfg.model.queue_len, budget.items // 2)
        cfg.model.queue_len = max(1, longest // budget.batch_size) * budget.batch_size
    cfg.randomness = dict(seed=seed, deterministic=False)
    cfg.default_hooks.checkpoint.update(interval=max(1, budget.epochs // 5), max_keep_ckpts=2)
    return cfg, budget


def _check_options(method: Method, cfg: Config) -> None:
    for key in method.options:
        if common := next((c for c in COMMON if key == c or key.startswith(f'{c}.')), None):
            raise ValueError(f'{method.name}: {common} is the same for all rows, so {key} cannot be set for one.')
        if key.startswith('train_dataloader.dataset.steps.'):
            continue  # checked against the pipeline when applied
        parent = cfg
        for part in key.split('.')[:-1]:
            try:
                parent = parent[int(part)] if isinstance(parent, list | tuple) else parent[part]
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise ValueError(f'{method.name}: {method.config} has no key {key}: check the spelling.') from error


def _check_data(cfg: Config, data: Any, budget: Budget) -> None:
    if cfg.train_dataloader.get('drop_last') and budget.items < budget.batch_size:
        raise ValueError(
            f'an epoch of {budget.items} items has no full batch of {budget.batch_size}: use a smaller --batch-size, '
            f'more --epochs or more data.'
        )
    is_classifier = cfg.model.get('head', {}).get('type') == 'LinearClsHead'
    if is_classifier and all(data.get_data_info(i)['gt_label'] < 0 for i in range(len(data))):
        raise ValueError('no video has a label, so there is nothing to classify: set --label-fraction, or add labels.')


def _set_length(cfg: Config, epochs: int) -> None:
    scale = epochs / cfg.train_cfg.max_epochs
    cfg.train_cfg.max_epochs = epochs
    for schedule in cfg.param_scheduler:
        if not schedule.get('by_epoch', True):
            continue
        schedule.convert_to_iter_based = True
        for key in ('T_max', 'begin', 'end'):
            if key in schedule:
                schedule[key] = round(schedule[key] * scale)
        if 'T_max' in schedule:
            schedule.T_max = max(1, schedule.T_max)
        if schedule.get('end') is not None and schedule.end <= schedule.get('begin', 0):
            schedule.end = schedule.get('begin', 0) + 1
