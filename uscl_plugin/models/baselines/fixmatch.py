"""FixMatch: the confident class of a weak augmentation is the label of a strong one."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from ..heads import labelled_cross_entropy
from .semi_supervised import SemiSupervisedClassifier


def pseudo_label_loss(weak: Tensor, strong: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """``1/(μB) Σ 1(max q ≥ τ) H(argmax q, p)``, q of the weak and p of the strong view (Sohn et al. 2020, Eq. 4).

    Args:
        weak: (N, K) logits; they get no gradient.
        strong: (N, K) logits of the same images.
        threshold: τ.

    Returns:
        Scalar, the mean over all N images, and (N,) bool, those above the threshold.
    """
    confidence, pseudo_labels = weak.detach().softmax(1).max(1)
    mask = confidence >= threshold
    return (F.cross_entropy(strong, pseudo_labels, reduction='none') * mask).mean(), mask


@MODELS.register_module()
class FixMatch(SemiSupervisedClassifier):
    """FixMatch (Sohn et al., NeurIPS 2020).

    ``loss_cls``, the cross-entropy of the weak view, the mean over the labelled images of all ranks, plus
    ``loss_unlabelled``, λ times :func:`pseudo_label_loss`. In the paper a labelled batch and one of μ = 7 times its
    size without labels are drawn apart; here one batch holds both in the proportion of the dataset, and each image
    is used without its label, too, as in the authors' code. Labels so rare that most batches have none are seen
    as often as the other images, not once a step.

    The pipeline makes a weak and a strong view::

        dict(type='MultiView', num_views=[1, 1], transforms=[
            [crop, flip],
            [crop, flip, dict(type='RandAugment', policies='timm_increasing', num_policies=2, total_level=10,
                              magnitude_level=9, magnitude_std=0.5)],
        ])

    The authors evaluate a moving average of the weights: MMEngine's ``EMAHook``, momentum 0.001.

    Args:
        threshold: τ, the least probability of a pseudo-label, in [0, 1].
        unlabelled_weight: λ ≥ 0.
        **kwargs: Those of :class:`SemiSupervisedClassifier`.

    Raises:
        ValueError: A setting is out of range.
    """

    num_views = 2

    def __init__(self, threshold: float = 0.95, unlabelled_weight: float = 1.0, **kwargs: Any) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f'threshold should be a probability, in [0, 1], got {threshold}.')
        if unlabelled_weight < 0:
            raise ValueError(f'unlabelled_weight should not be negative, got {unlabelled_weight}.')
        super().__init__(**kwargs)
        self.threshold = threshold
        self.unlabelled_weight = unlabelled_weight

    def loss(self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute both losses.

        Args:
            inputs: The weak and the strong view, each (N, 3, H, W), normalised.
            data_samples: N samples; ``gt_label`` -1, or none at all, is unlabelled.

        Returns:
            ``loss_cls``, ``loss_unlabelled``, and ``mask_share``, that of the images with a pseudo-label.
        """
        weak, strong = self.classify(inputs)
        unlabelled, mask = pseudo_label_loss(weak, strong, self.threshold)
        return {
            'loss_cls': labelled_cross_entropy(weak, self.labels(data_samples, weak.device)),
            'loss_unlabelled': self.unlabelled_weight * unlabelled,
            'mask_share': mask.float().mean(),
        }
