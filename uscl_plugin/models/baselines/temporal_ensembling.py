"""Temporal ensembling: an image should be classified as on average in previous epochs."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from .consistency import ConsistencyClassifier, batch_cross_entropy


def update_ensemble(ensemble: Tensor, counts: Tensor, predictions: Tensor, seen: Tensor, alpha: float) -> None:
    """``Z ← αZ + (1-α)z``, in place (Laine & Aila 2017, Algorithm 2).

    Args:
        ensemble: Z, (N, K).
        counts: (N,) int64, number of epochs in each row of Z.
        predictions: (N, K), the epoch's probabilities, summed over all occurrences of a sample.
        seen: (N,) int64, number of occurrences; a sample without any (in a dropped batch) keeps its row.
        alpha: α in [0, 1).
    """
    is_seen = seen > 0
    z = predictions[is_seen] / seen[is_seen, None]
    ensemble[is_seen] = alpha * ensemble[is_seen] + (1 - alpha) * z
    counts += is_seen


def ensemble_targets(ensemble: Tensor, counts: Tensor, alpha: float) -> Tensor:
    """``z̃ = Z / (1 - α^t)``, correcting the bias from starting at 0 (Laine & Aila 2017, Algorithm 2).

    Args:
        ensemble: Z, (N, K).
        counts: t, (N,) int64; a row without epochs stays 0.
        alpha: α in [0, 1).

    Returns:
        (N, K) probabilities.
    """
    return ensemble / (1 - alpha ** counts.clamp(min=1).to(ensemble.dtype))[:, None]


def target_consistency(probabilities: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """``1/(C|B|) Σ ‖z - z̃‖²`` over the samples with a target; |B| counts all samples.

    Args:
        probabilities: z, (N, K).
        targets: z̃, (N, K).
        counts: (N,) int64, 0 for samples without a target.

    Returns:
        Scalar.
    """
    return ((probabilities - targets.detach()) ** 2 * (counts > 0)[:, None]).mean()


@MODELS.register_module()
class TemporalEnsembling(ConsistencyClassifier):
    """Temporal ensembling (Laine & Aila, ICLR 2017, Sec. 2.2).

    ``loss_cls`` as in :class:`PiModel`, plus ``loss_consistency``, w(t) times the mean squared difference between the
    prediction and the sample's target, which is 0 in the first epoch. Needs ``TrainingSetHook``, training by epochs,
    and ``sample_idx`` among the ``meta_keys`` of PackInputs (the default).

    The ensemble is a buffer with one row per training sample, in dataset order, so it is saved in each checkpoint and
    does not depend on workers or batches. Every rank has all of it: during an epoch, each sums up the predictions for
    its own samples, and at the end, before the checkpoint is saved, the sums are added over the ranks. A sample that
    occurs several times, for example when the sampler pads the last batches, counts with its mean. The sums of an
    interrupted epoch are not saved, because MMEngine resumes at the start of an epoch.

    Args:
        alpha: Momentum α of the ensemble, in [0, 1).
        w_max: See :class:`ConsistencyClassifier`; 30 in the paper.
        ramp_up: Fraction of the run until the weight reaches its maximum; 80 of 300 epochs in the paper.
        **kwargs: Arguments of :class:`SemiSupervisedClassifier`.

    Raises:
        ValueError: A setting is out of range.
    """

    num_views = 1
    keeps_samples = True
    ensemble: Tensor
    ensemble_counts: Tensor

    def __init__(self, alpha: float = 0.6, w_max: float = 30.0, ramp_up: float = 80 / 300, **kwargs: Any) -> None:
        if not 0 <= alpha < 1:
            raise ValueError(f'alpha should be in [0, 1), got {alpha}.')
        super().__init__(w_max=w_max, ramp_up=ramp_up, **kwargs)
        self.alpha = alpha
        for name, persistent in (('ensemble', True), ('_sums', False)):
            self.register_buffer(name, torch.zeros(0, self.head.num_classes), persistent=persistent)
        for name, persistent in (('ensemble_counts', True), ('_seen', False)):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64), persistent=persistent)

    def _allocate(self, num_samples: int) -> None:
        for name in ('ensemble', '_sums', 'ensemble_counts', '_seen'):
            buffer = getattr(self, name)
            setattr(self, name, buffer.new_zeros(num_samples, *buffer.shape[1:]))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        if (saved := state_dict.get(f'{prefix}ensemble')) is not None:
            self._allocate(len(saved))  # the checkpoint is loaded before the training set is known
        super()._load_from_state_dict(state_dict, prefix, *args)

    def start_training(self, num_samples: int, num_labelled: int, epoch: int = 0) -> None:
        """Start with an empty ensemble, or continue with that of the checkpoint that the run resumes from.

        Raises:
            ValueError: The ensemble belongs to another training set or epoch, or there are no labels.
        """
        super().start_training(num_samples, num_labelled, epoch)
        if epoch == 0:
            self._allocate(num_samples)
        found = (len(self.ensemble), int(self.ensemble_counts.max()) if len(self.ensemble) else 0)
        if found != (num_samples, epoch):
            raise ValueError(
                f'the run resumes after epoch {epoch} with {num_samples} samples, but the checkpoint has an ensemble '
                f'of {found[1]} epochs with {found[0]} samples: resume from a checkpoint of the same data, or start a '
                f'new run with load_from.'
            )

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Gather the epoch's predictions from all ranks and add them to the ensemble."""
        all_reduce(self._sums, op='sum')
        all_reduce(self._seen, op='sum')
        update_ensemble(self.ensemble, self.ensemble_counts, self._sums, self._seen, self.alpha)
        self._sums.zero_()
        self._seen.zero_()

    def loss(self, inputs: Tensor | Sequence[Tensor], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute both losses, and record the predictions in training.

        Args:
            inputs: (N, 3, H, W), normalised, or a list with this one view.
            data_samples: N samples with ``sample_idx``; unlabelled if ``gt_label`` is -1 or missing.

        Returns:
            ``loss_cls``, ``loss_consistency``, and the ``consistency_weight`` used in it.

        Raises:
            ValueError: A sample has no ``sample_idx``, or one outside the training set.
        """
        (logits,) = self.classify(inputs)
        weight = self.current_weight()
        indices = self._indices(data_samples, logits.device)
        probabilities, counts = logits.softmax(1), self.ensemble_counts[indices]
        targets = ensemble_targets(self.ensemble[indices], counts, self.alpha)
        if self.training:
            self._sums.index_add_(0, indices, probabilities.detach())
            self._seen.index_add_(0, indices, torch.ones_like(indices))
        return {
            'loss_cls': batch_cross_entropy(logits, self.labels(data_samples, logits.device)),
            'loss_consistency': weight * target_consistency(probabilities, targets, counts),
            'consistency_weight': torch.tensor(weight),
        }

    def _indices(self, data_samples: Sequence[DataSample], device: torch.device) -> Tensor:
        indices = [sample.get('sample_idx') for sample in data_samples]
        for index in indices:
            if index is None or not 0 <= index < len(self.ensemble):
                raise ValueError(
                    f'a sample has sample_idx {index}, but TemporalEnsembling needs its position among the '
                    f"{len(self.ensemble)} training samples: keep 'sample_idx' in meta_keys of PackInputs."
                )
        return torch.tensor(indices, device=device)
