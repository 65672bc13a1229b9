"""The Π-model: two augmentations of an image should be classified alike."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from .consistency import ConsistencyClassifier, batch_cross_entropy


def view_consistency(logits1: Tensor, logits2: Tensor) -> Tensor:
    """``1/(C|B|) Σ ‖z - z̃‖²`` of two views' softmax outputs (Laine & Aila 2017, Algorithm 1).

    Args:
        logits1: (N, K).
        logits2: (N, K).

    Returns:
        Scalar; both views get a gradient.
    """
    return F.mse_loss(logits1.softmax(1), logits2.softmax(1))


@MODELS.register_module()
class PiModel(ConsistencyClassifier):
    """Π-model (Laine & Aila, Temporal Ensembling for Semi-Supervised Learning, ICLR 2017, Sec. 2.1).

    ``loss_cls`` is the cross-entropy of the first view of the labelled images, divided by the batch size;
    ``loss_consistency`` is w(t) times the mean squared difference between both views' predictions. t advances by
    iterations, as in MMEngine's schedules; in the paper, by epochs. Needs ``TrainingSetHook``.

    The pipeline makes two views in the same way: ``dict(type='MultiView', num_views=2, transforms=[[…]])``.

    Args:
        w_max: See :class:`ConsistencyClassifier`; 100 in the paper.
        ramp_up: Fraction of the run until the weight reaches its maximum; 80 of 300 epochs in the paper.
        **kwargs: Arguments of :class:`SemiSupervisedClassifier`.
    """

    num_views = 2

    def __init__(self, w_max: float = 100.0, ramp_up: float = 80 / 300, **kwargs: Any) -> None:
        super().__init__(w_max=w_max, ramp_up=ramp_up, **kwargs)

    def loss(self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute both losses.

        Args:
            inputs: The two views, each (N, 3, H, W), normalised.
            data_samples: N samples; unlabelled if ``gt_label`` is -1 or missing.

        Returns:
            ``loss_cls``, ``loss_consistency``, and the ``consistency_weight`` used in it.
        """
        first, second = self.classify(inputs)
        weight = self.current_weight()
        return {
            'loss_cls': batch_cross_entropy(first, self.labels(data_samples, first.device)),
            'loss_consistency': weight * view_consistency(first, second),
            'consistency_weight': torch.tensor(weight),
        }
