"""FixMatch: confident predictions on weakly augmented images are the labels of strongly augmented ones."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from ..heads import labelled_cross_entropy
from .semi_supervised import SemiSupervisedClassifier


def pseudo_label_loss(weak: Tensor, strong: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """``1/(μB) Σ 1(max q ≥ τ) H(argmax q, p)``, q from the weak and p from the strong view (Sohn et al. 2020, Eq. 4).

    Args:
        weak: (N, K) logits; they get no gradient.
        strong: (N, K) logits of the same images.
        threshold: τ.

    Returns:
        Scalar, the mean over all N images, and (N,) bool, true for images above the threshold.
    """
    confidence, pseudo_labels = weak.detach().softmax(1).max(1)
    mask = confidence >= threshold
    return (F.cross_entropy(strong, pseudo_labels, reduction='none') * mask).mean(), mask


@MODELS.register_module()
class FixMatch(SemiSupervisedClassifier):
    """FixMatch (Sohn et al., NeurIPS 2020).

    ``loss_cls`` is the cross-entropy of the weak view, averaged over the labelled images of all ranks;
    ``loss_unlabelled`` is λ times :func:`pseudo_label_loss`. In the paper a labelled batch and an unlabelled one of μ =
    7 times its size are drawn separately. Here one batch contains both in the dataset's proportion, and each image is
    also used without its label, as in the authors' code. If labels are so rare that most batches have none, they are
    seen as often as other images, not once per step.

    The pipeline makes one weak and one strong view::

        dict(type='MultiView', num_views=[1, 1], transforms=[
            [crop, flip],
            [crop, flip, dict(type='RandAugment', policies='timm_increasing', num_policies=2, total_level=10,
                              magnitude_level=9, magnitude_std=0.5)],
        ])

    The authors evaluate a moving average of the weights: MMEngine's ``EMAHook`` with momentum 0.001.

    Args:
        threshold: τ, the minimum probability of a pseudo-label, in [0, 1].
        unlabelled_weight: λ ≥ 0.
        **kwargs: Arguments of :class:`SemiSupervisedClassifier`.

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
            data_samples: N samples; unlabelled if ``gt_label`` is -1 or missing.

        Returns:
            ``loss_cls``, ``loss_unlabelled``, and ``mask_share``, the fraction of images with a pseudo-label.
        """
        weak, strong = self.classify(inputs)
        unlabelled, mask = pseudo_label_loss(weak, strong, self.threshold)
        return {
            'loss_cls': labelled_cross_entropy(weak, self.labels(data_samples, weak.device)),
            'loss_unlabelled': self.unlabelled_weight * unlabelled,
            'mask_share': mask.float().mean(),
        }
