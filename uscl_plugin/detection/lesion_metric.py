"""COCO box and mask AP for the evaluated data, regardless of their folder."""

from collections.abc import Sequence
from typing import Any

from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from uscl.data.coco_file import read_coco

from .coco_index import index_coco


@METRICS.register_module()
class LesionCocoMetric(CocoMetric):
    """MMDetection's :class:`CocoMetric`, but with the annotation file taken from :class:`LesionDataset`.

    Args:
        **kwargs: Arguments of :class:`mmdet.evaluation.CocoMetric`; ``ann_file`` is not needed.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._coco_api: COCO | None
        if self._coco_api is not None:  # of a config's own ann_file
            self._coco_api = index_coco(self._coco_api.dataset)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Store the predictions of a batch."""
        meta = self.dataset_meta or {}
        if self._coco_api is None and 'ann_file' in meta:
            self._coco_api = index_coco(read_coco(meta['ann_file']))
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """AP by COCO's rules; 0 for a detector that finds nothing at all, where MMDetection returns no metrics."""
        found = super().compute_metrics(results)
        if found or self.format_only:
            return found
        names = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
        return {f'{metric}_{name}': 0.0 for metric in self.metrics for name in names}
