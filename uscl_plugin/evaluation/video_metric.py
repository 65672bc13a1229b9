"""Metrics of a frame classifier by frame and by video, inside MMEngine's loops."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS

from uscl.data.folds import group_of
from uscl.stats.classification import METRICS as MEASURES
from uscl.stats.classification import classification_metrics
from uscl.stats.predictions import Predictions


@METRICS.register_module()
class VideoClassificationMetric(BaseMetric):
    """Accuracy, balanced accuracy, macro F1 and macro AUROC of frames, and of videos by averaging their frames.

    Logged as ``frame/accuracy``, ``video/accuracy``, …; prefixed by the side (``test/frame/accuracy``) if the dataset
    contains several. Samples need ``video_id``, ``patient_id``, ``frame`` and ``split``, which
    :class:`VideoFrameDataset` provides: list them in the ``meta_keys`` of ``PackInputs``.

    Args:
        collect_device: Where results from several processes are gathered, ``'cpu'`` or ``'gpu'``, as in MMEngine.
        prefix: Prefix of the metric names, as in MMEngine.

    Attributes:
        predictions: Side → :class:`~uscl.stats.predictions.Predictions` of its frames, set by each evaluation.
    """

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device, prefix)
        self.predictions: dict[str, Predictions] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the scores of a batch."""
        for sample in data_samples:
            if 'video_id' not in sample:
                raise ValueError(
                    'VideoClassificationMetric needs the video of each frame: use VideoFrameDataset, and list '
                    'video_id, patient_id, frame and split in the meta_keys of PackInputs.'
                )
            self.results.append(
                {
                    'scores': sample['pred_score'].double().cpu().numpy(),
                    'label': int(sample['gt_label']),
                    'video': sample['video_id'],
                    'group': group_of(sample),
                    'path': sample.get('frame', ''),
                    'side': sample.get('split') or '',
                }
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute all metrics for every side."""
        by_side: dict[str, list[dict]] = defaultdict(list)
        for result in results:
            by_side[result['side']].append(result)
        self.predictions = {side: _collect(rows) for side, rows in by_side.items()}
        values: dict[str, float] = {}
        for side, frames in self.predictions.items():
            prefix = f'{side}/' if len(by_side) > 1 else ''
            for level, predictions in (('frame', frames), ('video', frames.by_video())):
                found = classification_metrics(predictions, frames.probabilities.shape[1])
                values |= {f'{prefix}{level}/{name}': float(found[name]) for name in MEASURES}  # type: ignore[arg-type]
        return values


def _collect(rows: Sequence[dict]) -> Predictions:
    return Predictions(
        np.stack([row['scores'] for row in rows]),
        np.array([row['label'] for row in rows]),
        *(np.array([row[name] for row in rows]) for name in ('video', 'group', 'path')),
    )
