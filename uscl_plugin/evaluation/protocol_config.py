"""The config of a fine-tuning protocol, before it is adapted to data."""

import os

from mmengine.config import Config

from uscl.core.digest import digest
from uscl.core.shipped_files import CONFIGS
from uscl.options.evaluation_options import EvaluationOptions
from uscl_plugin.running.launch import parse_cfg_options


def protocol_config(options: EvaluationOptions) -> Config:
    """The config that ``--config`` names, or the shipped one of the protocol, with ``--cfg-options``."""
    protocol = 'linear' if options.protocol == 'knn' else options.protocol
    cfg = Config.fromfile(options.config or CONFIGS / 'pocus' / f'resnet18_1xb32-{protocol}-100e_pocus-224px.py')
    cores = os.cpu_count() or 1
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.num_workers = min(loader.num_workers, cores)
    cfg.merge_from_dict(parse_cfg_options(options.cfg_options))
    return cfg


def protocol_digest(options: EvaluationOptions) -> str:
    """Digest of its settings that affect results; the number of loading processes does not."""
    cfg = protocol_config(options)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for key in ('num_workers', 'persistent_workers', 'prefetch_factor', 'pin_memory'):
            loader.pop(key, None)
    return digest(cfg.pretty_text)
