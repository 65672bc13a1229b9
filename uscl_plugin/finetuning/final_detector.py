"""The final detector of lesions."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

import uscl_plugin.compat.mmcv_ops  # noqa: F401 (before MMDetection)
from uscl.options.comparison_options import DETECTOR, ComparisonOptions
from uscl.options.finetuning_options import FinetuningOptions
from uscl_plugin.comparison.detection_config import detection_config, detector_backbone, read_detector
from uscl_plugin.datasets.pipeline_settings import settle_steps
from uscl_plugin.evaluation.finetuning import train_last_block

from .final_model import FinalModel
from .lesion_data import read_lesions

BOXES_ALONE = DETECTOR.with_name('faster-rcnn_r18_fpn_uscl_1xb2-30e_udiat-b.py')
_MEASURES = {'coco/segm_mAP': 'mask AP', 'coco/bbox_mAP': 'box AP'}


class FinalDetector(FinalModel):
    """Mask R-CNN by the paper's protocol, or Faster R-CNN if there are no masks; see :class:`FinalModel`."""

    kind, tag, library = 'detector of lesions in ultrasound images', 'object-detection', 'mmdet'

    def __init__(self, options: FinetuningOptions) -> None:
        super().__init__(options)
        fraction = 0.2 if options.val_fraction is None else options.val_fraction
        self._data = data = read_lesions(options.data, fraction, options.seed)
        self.classes = [category['name'] for category in data.categories]
        self.data_digest = data.digest
        self.settings = {'size': options.size, 'epochs': options.epochs, 'val_fraction': fraction}
        detector = 'Mask R-CNN' if data.has_masks else 'Faster R-CNN'
        self.lines = [f'training on {data.count(False)}: {detector}' + ('' if data.has_masks else ', without masks')]
        if data.held_back:
            self.lines.append(f'{data.count(True)} choose the epoch')
        elif fraction:
            self.lines.append('nothing is held back to choose the epoch: too few patients, so the last one is taken')
        if any(image.get('patient_id') is None for image in data.images):
            self.lines.append('some patients are unknown, so each of their images counts as a patient')
        self.facts = [
            ('classes', ', '.join(self.classes)),
            ('protocol', f'{detector}, last three layers of the backbone, seed {options.seed}'),
            ('trained on', data.count(False)),
            ('epoch chosen on', data.count(True) if data.held_back else 'nothing: it is the last one'),
        ]

    def make_config(self) -> Config:
        """See the base class."""
        own = self.options
        options = ComparisonOptions(
            pretrain_data='', eval_data='', out='', workers=own.workers,
            detection_data=own.data, detection_epochs=own.epochs, detection_size=own.size,
            detection_config=str(DETECTOR if self._data.has_masks else BOXES_ALONE),
        )  # fmt: skip
        cfg = detection_config(self.backbone, self.write_backbone(), own.seed, options)
        files = self._data.write(self.work.resolve())
        for loader, path in zip((cfg.train_dataloader, cfg.val_dataloader), (files[0], files[-1]), strict=True):
            loader.dataset.update(ann_file=str(path), metainfo=dict(classes=tuple(self.classes)))
            for step in settle_steps(loader.dataset):
                if step.type == 'LoadAnnotations':
                    step.with_mask = self._data.has_masks
        for head in ('bbox_head', 'mask_head'):
            if head in cfg.model.roi_head:
                cfg.model.roi_head[head].num_classes = len(self.classes)
        cfg.default_hooks.freezing = read_detector(DETECTOR).default_hooks.freezing
        train_last_block(cfg, detector_backbone(self.backbone))
        cfg.find_unused_parameters = True
        cfg.default_hooks.checkpoint.update(interval=1)
        cfg.train_cfg.val_interval = 1
        cfg.test_dataloader = cfg.val_dataloader
        if not self._data.held_back:
            cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        return cfg

    def quality(self, runner: Runner, metrics: Mapping[str, Any]) -> tuple[float, ...]:
        """AP of masks, then of boxes."""
        return tuple(metrics[name] for name in _MEASURES if name in metrics)

    def describe(self, metrics: Mapping[str, Any]) -> str:
        """See the base class."""
        return ', '.join(f'{name} {metrics[key]:.0%}' for key, name in _MEASURES.items() if key in metrics)

    def judged(self) -> tuple[str, str]:
        """See the base class."""
        return (
            'not judged on other patients: uscl compare --detection-data does that',
            'This model has not been judged: nobody knows how good it is on other patients.',
        )
