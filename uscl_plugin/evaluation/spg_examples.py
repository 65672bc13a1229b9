"""Examples of sample pair generation (SPG), made by the dataset's own pipeline."""

from typing import Any

import numpy as np
from mmengine.config import Config
from mmpretrain.registry import DATASETS
from torch import Tensor

from uscl.data.frame_loading import load_frame
from uscl_plugin.datasets.frame_set import dataset_config
from uscl_plugin.datasets.pipeline_settings import color_type, dataset_pipeline
from uscl_plugin.datasets.transforms import PlannedView, collate_frames
from uscl_plugin.measures.backbone_health import spread_evenly
from uscl_plugin.models.data_preprocessors import make_views


def spg_rows(
    cfg: Config, count: int, seed: int = 0, data_root: str | None = None, split: str | None = None, epoch: int = 0
) -> list[dict]:
    """Run the training pipeline on some videos and keep its inputs and outputs.

    Args:
        cfg: A pretraining config.
        count: Number of videos to show, evenly spaced over the dataset; all if it has fewer.
        seed: Run seed of the draws.
        data_root: Folder to use instead of the config's; None keeps the config's.
        split: Split to use instead, ``'all'`` for every video; None keeps the config's.
        epoch: Epoch of the draws, from 0.

    Returns:
        Rows for :func:`~uscl.reports.figures.triplet_sheet`; empty if the pipeline draws more than three frames, makes
        more than two views, or does not record ``frame_inds``. A pipeline that records no ``mix_ratios`` does not mix.
    """
    changes: dict[str, Any] = {} if data_root is None else {'label_fraction': 0.0}
    dataset = DATASETS.build(dataset_config(cfg, data_root, split, **changes))
    dataset.set_epoch(epoch, seed)
    rows = []
    for index in spread_evenly(len(dataset), max(count, 0)):
        item = dataset[index]
        meta = item['data_samples'].metainfo
        views = _made_views(item)
        if len(views) > 2 or len(meta.get('frame_inds', ())) not in (1, 2, 3):
            return []
        info = dataset.get_data_info(index)
        color = color_type(cfg.train_dataloader.dataset)
        stored = dataset.frames(info)
        frames = [load_frame(stored[k], color, info['video_id']) for k in meta['frame_inds']]
        rows.append(
            {
                'video_id': info['video_id'],
                'frames': [frame[..., ::-1] for frame in frames],
                'views': [_as_image(view) for view in views],
                'mix_ratios': tuple(meta.get('mix_ratios', ())),
            }
        )
    return rows


def mixes_first(cfg: Config) -> bool:
    """Whether the pipeline mixes frames before augmenting them (the paper) or after (the released code)."""
    steps = [step['type'] for step in dataset_pipeline(cfg.train_dataloader.dataset)]
    augment = steps.index('TransformBroadcaster') if 'TransformBroadcaster' in steps else len(steps)
    return 'DrawViews' in steps or 'MixFrames' in steps[:augment]


def _made_views(item: dict) -> list[Tensor]:
    """The views of an item, each (3, S, S) in [0, 255]; computed here if the pipeline leaves that to the model."""
    inputs = [item['inputs']] if isinstance(item['inputs'], Tensor) else item['inputs']
    if not isinstance(inputs[0], PlannedView):
        return inputs
    batch = collate_frames([item])
    return [view[0].expand(3, -1, -1) for view in make_views(batch['inputs'], batch['view_params'])]


def _as_image(view: Tensor) -> np.ndarray:
    """(3, S, S) in [0, 255], BGR → (S, S, 3) uint8, RGB."""
    return view.detach().float().round().clamp(0, 255).byte().permute(1, 2, 0).numpy()[..., ::-1]
