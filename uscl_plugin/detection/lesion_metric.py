"""COCO box and mask AP of the data that are evaluated, whatever folder they come from."""

from collections.abc import Sequence

from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS


@METRICS.register_module()
class LesionCocoMetric(CocoMetric):
    """MMDetection's :class:`CocoMetric` that takes the annotation file from :class:`LesionDataset`.

    Args:
        **kwargs: Those of :class:`mmdet.evaluation.CocoMetric`; ``ann_file`` is not needed.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch."""
        meta = self.dataset_meta or {}
        if getattr(self, '_coco_api', None) is None and 'ann_file' in meta:
            self._coco_api: COCO = COCO(meta['ann_file'])
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """AP by COCO's rules; a detector that finds nothing at all has 0, where MMDetection returns no measure."""
        found = super().compute_metrics(results)
        if found or self.format_only:
            return found
        names = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
        return {f'{metric}_{name}': 0.0 for metric in self.metrics for name in names}
