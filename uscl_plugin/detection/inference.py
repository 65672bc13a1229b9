"""Run the detector of a config on its test data."""

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.datasets import CocoDataset
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import encode_mask_results
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from uscl.data.coco_file import read_coco
from uscl.stats.detections import Detections
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.strict_loading import load_strictly

from .coco_index import index_coco
from .lesion_check_hook import check_heads


def run_detector(cfg: Config, checkpoint: str | Path) -> Detections:
    """Predict on the images of ``test_dataloader``.

    Args:
        cfg: An MMDetection config with a COCO-format dataset.
        checkpoint: Must fit the model exactly; nothing pickled in it is executed.

    Raises:
        FileNotFoundError: The checkpoint, the annotation file or an image does not exist.
        ValueError: The checkpoint does not fit, or the dataset is not in COCO format.
    """
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model)
    load_strictly(model, load_plain_checkpoint(checkpoint), checkpoint, 'pass the config that it was trained with')
    model.to(get_device()).eval()
    with redirect_stdout(StringIO()):  # pycocotools prints progress
        loader = Runner.build_dataloader(cfg.test_dataloader)
        dataset = loader.dataset
        if not isinstance(dataset, CocoDataset):
            raise ValueError(
                f'test_dataloader.dataset is a {type(dataset).__name__}, not in COCO format: use LesionDataset.'
            )
        check_heads(model, len(dataset.metainfo['classes']))
        truth = index_coco(read_coco(dataset.ann_file))
    image_ids: list[int] = []
    results: list[dict] = []
    has_masks = False
    with torch.no_grad():
        for batch in loader:
            for sample in model.test_step(batch):
                image_ids.append(int(sample.img_id))
                results += coco_results(sample, dataset.cat_ids)
                has_masks |= 'masks' in sample.pred_instances
    root = Path(dataset.data_prefix['img'])
    return Detections(truth, image_ids, results, has_masks, root, Path(dataset.ann_file))


def coco_results(sample: DetDataSample, category_ids: list[int]) -> list[dict]:
    """The predictions for one image as :attr:`Detections.results`.

    Args:
        sample: Must have ``pred_instances``: ``bboxes`` (N, 4) as corners, ``scores`` (N,), ``labels`` (N,) and
            optionally ``masks`` (N, H, W).
        category_ids: Category ids of the labels 0, 1, …
    """
    found = sample.pred_instances
    corners = found.bboxes.cpu().numpy().astype(np.float64)
    boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    results: list[dict[str, Any]] = [
        {'image_id': int(sample.img_id), 'category_id': category_ids[label], 'score': score, 'bbox': box}
        for label, score, box in zip(found.labels.tolist(), found.scores.tolist(), boxes.tolist(), strict=True)
    ]
    if 'masks' in found:
        for result, mask in zip(results, encode_mask_results(found.masks.cpu().numpy()), strict=True):
            result['segmentation'] = {'size': mask['size'], 'counts': mask['counts'].decode()}
    return results
