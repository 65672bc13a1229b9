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
