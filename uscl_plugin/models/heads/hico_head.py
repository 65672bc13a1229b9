"""The head of HiCo: contrast of equal levels, of different levels, and softened labels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from .uscl_head import UNLABELLED, USCLHead, batch_labels


def softened_cross_entropy(logits: Tensor, labels: Tensor, softness: float) -> Tensor:
    """``-1/n Σ_b Σ_c t_bc log p_bc`` over the n labelled items, ``t_bc = (1 - α) 1[c = y_b] + α / (n - 1)``.

    The number of items, not of classes, is in the targets, as in the released code. There it divides by zero for n = 1,
    where this is the plain cross-entropy.

    Args:
        logits: (N, K).
        labels: (N,) int64 in [0, K), or -1 for unlabelled items, which are ignored.
        softness: α in [0, 1].

    Returns:
        Scalar; without any label an exact 0 that still has a graph.
    """
    is_labelled = labels != UNLABELLED
    count = int(is_labelled.sum())
    softness = softness if count > 1 else 0.0
    log_p = logits[is_labelled].log_softmax(1)
    is_own = F.one_hot(labels[is_labelled], logits.shape[1]).to(log_p)
    targets = (1 - softness) * is_own + softness / max(count - 1, 1)
    return -(targets * log_p).sum() / max(count, 1) + 0 * logits.sum()


@MODELS.register_module()
class HiCoHead(USCLHead):
    """Half the NT-Xent of each level's two views, half that of the global level and the others of one view; labels.

    ``loss_peer = ½ Σ_k NTX(F_k, F_k')``, ``loss_cross = ½ Σ_{k ≠ global} (NTX(F_global, F_k) + NTX(F_global', F_k'))``,
    and ``loss_cls``, λ times the :func:`softened_cross_entropy` of each view.

    Args:
        num_classes: K ≥ 1.
        in_channels: Width of the representation.
        loss_contrastive: Config of the contrastive loss, called with two (N, D) tensors.
        cls_weight: λ ≥ 0.
        softness: α of the softened labels, in [0, 1].
        hid_channels: Width of the classifier's hidden layer.
        init_cfg: Initialisation of MMEngine's modules.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss_contrastive: dict,
        cls_weight: float = 0.2,
        softness: float = 0.2,
        hid_channels: int = 256,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(num_classes, in_channels, loss_contrastive, cls_weight, init_cfg=init_cfg)
        self.softness = softness
        self.classifier = nn.Sequential(  # type: ignore[assignment]
            nn.Linear(in_channels, hid_channels), nn.ReLU(), nn.Linear(hid_channels, num_classes)
        )

    def loss(  # type: ignore[override]
        self, representation: Tensor, levels: Sequence[Tensor], data_samples: Sequence[DataSample]
    ) -> dict[str, Tensor]:
        """Compute the losses.

        Args:
            representation: (2N, C) pooled backbone features, all N first views before the N second ones.
            levels: Embeddings (2N, D) in the same order, the global one last.
            data_samples: N samples; unlabelled if ``gt_label`` is -1 or missing.

        Returns:
            ``loss_peer``, ``loss_cross`` and ``loss_cls``.

        Raises:
            ValueError: A label is not in [0, num_classes).
        """
        *others, whole = ([*level.chunk(2)] for level in levels)
        peer = [self.loss_contrastive(*level) for level in (*others, whole)]
        cross = [self.loss_contrastive(whole[view], level[view]) for level in others for view in (0, 1)]
        logits = self.classifier(representation)
        labels = batch_labels(data_samples, self.num_classes, logits.device)
        soft = [softened_cross_entropy(view, labels, self.softness) for view in logits.chunk(2)]
        return {
            'loss_peer': torch.stack(peer).sum() / 2,
            'loss_cross': torch.stack(cross).sum() / 2,
            'loss_cls': self.cls_weight * torch.stack(soft).sum(),
        }
