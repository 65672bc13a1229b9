"""Base of the semi-supervised classifiers: several views of an image, and labels that are mostly missing."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ..heads import batch_labels


class SemiSupervisedClassifier(ImageClassifier):
    """An image classifier whose loss takes views of images, few of which are labelled.

    ``mode='predict'``, ``mode='tensor'`` and the names in a checkpoint are those of
    :class:`mmpretrain.models.ImageClassifier`, so checkpoints are interchangeable. The head computes logits
    (LinearClsHead); its own loss is not used.

    Args:
        backbone: Config of the backbone.
        neck: Config of the pooling.
        head: Config of the classifier.
        data_preprocessor: Config; without a type, :class:`mmpretrain.models.SelfSupDataPreprocessor`, which takes one
            image or a list of views. All data loaders then need ``collate_fn=dict(type='default_collate')``.
        pretrained: Checkpoint to start from.
        init_cfg: Initialisation of MMEngine's modules.
    """

    num_views: ClassVar[int]

    def __init__(
        self,
        backbone: dict,
        neck: dict | None = None,
        head: dict | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        pretrained: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if not isinstance(data_preprocessor, nn.Module):  # ImageClassifier would add settings for its default one
            data_preprocessor = MODELS.build({'type': 'SelfSupDataPreprocessor', **(data_preprocessor or {})})
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            pretrained=pretrained,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )

    def extract_feat(self, inputs: Tensor, stage: str = 'neck') -> Any:
        """Features of one view; see :meth:`mmpretrain.models.ImageClassifier.extract_feat`.

        Raises:
            ValueError: ``inputs`` is a list.
        """
        if not isinstance(inputs, Tensor):
            raise ValueError(
                f'{type(self).__name__} takes a tensor (N, 3, H, W) here, got a list of {len(inputs)}: set '
                f"collate_fn=dict(type='default_collate') in the data loader, and make a single view for prediction."
            )
        return super().extract_feat(inputs, stage)

    def classify(self, inputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Classify all views in one pass, so that batch norm sees them together and updates once per step.

        Args:
            inputs: ``num_views`` views, each (N, 3, H, W), normalised; a tensor is one view.

        Returns:
            Logits of each view, (N, K) float32.

        Raises:
            ValueError: The number of views is wrong.
        """
        views = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        if len(views) != self.num_views or any(view.ndim != 4 for view in views):
            raise ValueError(
                f'{type(self).__name__} takes {self.num_views} view(s) (N, 3, H, W) of each image, got shapes '
                f'{[tuple(view.shape) for view in views]}: make that many with MultiView, and set '
                f"collate_fn=dict(type='default_collate') in train_dataloader."
            )
        return self.head(self.extract_feat(torch.cat(views))).float().chunk(self.num_views)

    def labels(self, data_samples: Sequence[DataSample], device: torch.device) -> Tensor:
        """Labels of a batch; see :func:`batch_labels`."""
        return batch_labels(data_samples, self.head.num_classes, device)
