"""The semi-supervised head of USCL: a contrastive loss and a few labels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

UNLABELLED = -1


def labelled_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, averaged over the labelled samples of all ranks.

    Args:
        logits: (N, K).
        labels: (N,) int64 in [0, K), or -1 for unlabelled samples, which are ignored.

    Returns:
        Scalar. Its average over ranks, as DistributedDataParallel takes of gradients, is the mean over all labelled
        samples. Without any label it is an exact 0 that still has a graph, so that every parameter gets a gradient.
    """
    num_labelled = (labels != UNLABELLED).sum()
    all_reduce(num_labelled, op='sum')
    total = F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction='sum')
    return total * get_world_size() / num_labelled.clamp(min=1)


def batch_labels(data_samples: Sequence[DataSample], num_classes: int, device: torch.device) -> Tensor:
    """Labels of a batch, checked, because a wrong index would be an unreadable device-side assertion on a GPU.

    Args:
        data_samples: N samples; unlabelled if ``gt_label`` is -1 or missing.
        num_classes: K.
        device: Device for the labels.

    Returns:
        (N,) int64 in [-1, K).

    Raises:
        ValueError: A label is outside this range.
    """
    unlabelled = torch.tensor([UNLABELLED])
    labels = torch.cat([sample.get('gt_label', unlabelled).reshape(1).to(device) for sample in data_samples])
    is_wrong = (labels >= num_classes) | (labels < UNLABELLED)
    if is_wrong.any():
        first = int(is_wrong.nonzero()[0])
        raise ValueError(
            f'video {data_samples[first].get("video_id", f"no. {first} of the batch")!r} has label '
            f'{int(labels[first])}, but model.head.num_classes is {num_classes}: set num_classes to the number of '
            f'classes in the dataset, or map labels with label_map.'
        )
    return labels


@MODELS.register_module()
class USCLHead(BaseModule):
    """Contrastive loss on the projection plus λ times the cross-entropy of both views (Sec. 3 of the paper).

    ``loss_cls = cls_weight · (CE(view 1) + CE(view 2))``, each a mean over the labelled samples of all ranks.

    Args:
        num_classes: K ≥ 1.
        in_channels: Width of the classifier's input: the backbone's (512 for ResNet-18), or the neck's for
            ``cls_input='projection'``.
        loss_contrastive: Config of the contrastive loss, called with two (N, C) tensors.
        cls_weight: λ ≥ 0.
        cls_input: 'representation' (paper) or 'projection' (released code).
        init_cfg: Initialisation of MMEngine's modules.

    Raises:
        ValueError: A setting is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss_contrastive: dict,
        cls_weight: float = 0.2,
        cls_input: str = 'representation',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_classes < 1:
            raise ValueError(f'num_classes should be at least 1, got {num_classes}.')
        if cls_weight < 0:
            raise ValueError(f'cls_weight should not be negative, got {cls_weight}.')
        if cls_input not in ('representation', 'projection'):
            raise ValueError(f"cls_input should be 'representation' or 'projection', got {cls_input!r}.")
        self.num_classes = num_classes
        self.cls_weight = cls_weight
        self.cls_input = cls_input
        self.loss_contrastive = MODELS.build(loss_contrastive)
        self.classifier = nn.Linear(in_channels, num_classes)

    def loss(self, representation: Tensor, projection: Tensor, data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute both losses.

        Args:
            representation: (2N, C) pooled backbone features, all N first views before the N second ones.
            projection: (2N, D) output of the neck, in the same order.
            data_samples: N samples; unlabelled if ``gt_label`` is -1 or missing.

        Returns:
            ``loss_contrastive``, ``loss_cls``, and, if this rank has a labelled sample and λ is not 0, ``accuracy`` in
            percent over both views of the labelled samples.

        Raises:
            ValueError: A label is not in [0, num_classes).
        """
        logits = self.classifier(representation if self.cls_input == 'representation' else projection)
        labels = batch_labels(data_samples, self.num_classes, logits.device).repeat(2)  # for both views
        losses = {
            'loss_contrastive': self.loss_contrastive(*projection.chunk(2)),
            # CE(view 1) + CE(view 2) is twice their mean, since both have the same labels
            'loss_cls': 2 * self.cls_weight * labelled_cross_entropy(logits, labels),
        }
        is_labelled = labels != UNLABELLED
        if self.cls_weight and is_labelled.any():
            hits = logits.detach().argmax(1)[is_labelled] == labels[is_labelled]
            losses['accuracy'] = 100 * hits.float().mean()
        return losses
