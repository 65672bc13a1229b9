"""A page that shows what a backbone learned in pretraining, and the same numbers as JSON."""

import json
import math
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from rich.progress import track

from uscl.core.atomic_files import write_text
from uscl.options.report_options import ReportOptions
from uscl_plugin.datasets.frame_set import FrameSet, collect_frames
from uscl_plugin.datasets.pipeline_settings import color_type, input_size, unwrapped
from uscl_plugin.measures.backbone_health import BackboneHealth, health_warning, measure_frames, spread_evenly
from uscl_plugin.measures.representation import Evaluation, evaluate_backbone, input_settings
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

from .machine import machine_facts
from .pretrained_backbone import trained_backbone, untrained_backbone
from .pretraining_page import write_pretraining_page
from .seen_frames import seen_frames


def report_pretraining(options: ReportOptions, command: str = '') -> dict:
    """Evaluate a backbone before and after pretraining, and write the page and its numbers.

    ``init_default_scope('mmpretrain')`` must have been called.

    Args:
        options: See :class:`ReportOptions`.
        command: The command line, to show on the page.

    Returns:
        The numbers as written; NaN becomes null.

    Raises:
        FileNotFoundError: The config, the checkpoint or the data are missing.
        ValueError: They do not fit together.
    """
    began = time.perf_counter()
    cfg = Config.fromfile(options.config)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    networks = {
        'before': untrained_backbone(cfg, options.seed),
        'after': trained_backbone(cfg, options.checkpoint),
    }
    found = collect_frames(cfg, options.data_root, options.split)
    color = color_type(cfg.train_dataloader.dataset)
    evaluations, backbones = {}, {}
    sample = spread_evenly(len(found))
    for name, network in networks.items():
        frames = track(found.read(color), f'Features {name} pretraining', len(found))
        evaluations[name] = evaluate_backbone(network.to(device), frames, found, cfg)
        backbones[name] = measure_frames(network, found.read(color, sample), **input_settings(cfg))
    facts = {'command': command} | _facts(cfg, options, found, evaluations, backbones) | machine_facts()
    write_pretraining_page(cfg, options, found, evaluations, facts, began)
    facts['seconds'] = round(time.perf_counter() - began, 1)
    target = options.json or Path(options.out).with_suffix('.json')
    text = json.dumps(_without_nan(facts), indent=1, ensure_ascii=False, allow_nan=False) + '\n'
    write_text(target, text)
    return _without_nan(facts)


def _facts(
    cfg: Config,
    options: ReportOptions,
    found: FrameSet,
    evaluations: dict[str, Evaluation],
    backbones: dict[str, BackboneHealth],
) -> dict:
    meta = load_plain_checkpoint(options.checkpoint).get('meta') or {}
    dataset = unwrapped(cfg.train_dataloader.dataset)
    seen, num_train_videos = seen_frames(cfg, options.checkpoint, found)
    facts: dict = {
        'config': options.config,
        'checkpoint': options.checkpoint,
        'epoch': meta.get('epoch'),
        'iteration': meta.get('iter'),
        'data': str(options.data_root or dataset.data_root),
        'split': options.split or dataset.get('split') or 'all',
        'frame_range_of_training': list(dataset.get('frame_range', (0.0, 1.0))),
        'num_videos': len(found.video_ids),
        'num_train_videos': num_train_videos,
        'num_frames': len(found),
        'num_held_out': int(found.query.sum()),
        'num_held_out_seen_in_training': None if seen is None else int((seen & found.query).sum()),
        'num_gallery_seen_in_training': None if seen is None else int((seen & ~found.query).sum()),
        'input_size': input_size(dataset),
        'num_channels': int(evaluations['after'].features.shape[1]),
        'seed': options.seed,
        'date': datetime.now().astimezone().isoformat(timespec='seconds'),
    }
    for name, evaluation in evaluations.items():
        facts[name] = evaluation.cohesion.scalars()
        facts[name]['held_out_auroc'] = math.nan if evaluation.held_out is None else evaluation.held_out.auroc
        facts[name] |= backbones[name].as_dict()
    facts['warning'] = health_warning(backbones['after'])
    return facts


def _without_nan(value: Any) -> Any:
    """Replace NaN, which JSON lacks, with null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
