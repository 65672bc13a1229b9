"""What Laine & Aila's two methods share: cross-entropy plus a consistency loss whose weight ramps up."""

import math
from typing import Any, ClassVar

import torch.nn.functional as F
from mmengine.logging import MessageHub
from torch import Tensor

from ..heads.uscl_head import UNLABELLED
from .semi_supervised import SemiSupervisedClassifier


def gaussian_ramp_up(t: float) -> float:
    """``exp(-5 (1 - t)²)``, from 0.0067 at t = 0 to 1 at t = 1 and beyond (Laine & Aila 2017, Appendix A)."""
    return math.exp(-5 * (1 - min(max(t, 0.0), 1.0)) ** 2)


def consistency_weight(progress: float, w_max: float, labelled_share: float, ramp_up: float) -> float:
    """``w(t) = w_max · M/N · exp(-5 (1 - t)²)`` (Laine & Aila 2017, Appendix A).

    Args:
        progress: Share of the run that is over, in [0, 1].
        w_max: Largest weight if all images were labelled.
        labelled_share: M/N, labelled among all images.
        ramp_up: Share of the run in which t goes from 0 to 1; 0: no ramp.

    Returns:
        The weight.
    """
    return w_max * labelled_share * (gaussian_ramp_up(progress / ramp_up) if ramp_up else 1.0)


def training_progress() -> float:
    """Share of the current runner's iterations that are over, in [0, 1); 1 outside of a training run."""
    hub = MessageHub.get_current_instance()
    if hub.get_info('loop_stage') != 'train' or not hub.get_info('max_iters'):
        return 1.0
    return hub.get_info('iter', 0) / hub.get_info('max_iters')


def batch_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """``1/|B| Σ`` over the labelled of a batch B (Laine & Aila 2017, Algorithms 1 and 2).

    The sum is divided by the number of all images, not of the labelled ones, which is why w has the factor M/N.

    Args:
        logits: (N, K).
        labels: (N,) int64 in [0, K), or -1 for unlabelled images.

    Returns:
        Scalar; without any label an exact 0 that still has a graph.
    """
    return F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction='sum') / len(labels)


class ConsistencyClassifier(SemiSupervisedClassifier):
    """A classifier that is told about its training set, by ``TrainingSetHook`` or by hand.

    Args:
        w_max: Largest weight of the consistency loss if all images were labelled, ≥ 0; it is scaled by their share.
        ramp_up: Share of the run in which the weight ramps up, in [0, 1].
        **kwargs: Those of :class:`SemiSupervisedClassifier`.

    Raises:
        ValueError: A setting is out of range.
    """

    keeps_samples: ClassVar[bool] = False
    """Whether each sample needs an index of its own, and training epochs."""

    def __init__(self, w_max: float, ramp_up: float, **kwargs: Any) -> None:
        if w_max < 0:
            raise ValueError(f'w_max should not be negative, got {w_max}.')
        if not 0 <= ramp_up <= 1:
            raise ValueError(f'ramp_up should be a share of the run, in [0, 1], got {ramp_up}.')
        super().__init__(**kwargs)
        self.w_max = w_max
        self.ramp_up = ramp_up
        self.labelled_share: float | None = None

    def start_training(self, num_samples: int, num_labelled: int, epoch: int = 0) -> None:
        """Say what the model is about to be trained on.

        Args:
            num_samples: N.
            num_labelled: M of them have a label.
            epoch: Epochs that are over, in a resumed run.

        Raises:
            ValueError: There is no label, so nothing could be learnt.
        """
        if not num_labelled:
            raise ValueError(
                f'none of the {num_samples} training samples has a label, so {type(self).__name__} would learn nothing:'
                f' check label_fraction, classes and split of the training set.'
            )
        self.labelled_share = num_labelled / num_samples

    def end_epoch(self) -> None:
        """An epoch is over; called on all ranks."""

    def current_weight(self) -> float:
        """w(t) now.

        Raises:
            ValueError: The model was not told about its training set.
        """
        if self.labelled_share is None:
            raise ValueError(
                f'{type(self).__name__} does not know its training set: add '
                f"default_hooks=dict(training_set=dict(type='TrainingSetHook')) to the config, or call "
                f'start_training(num_samples, num_labelled) in a training loop of your own.'
            )
        return consistency_weight(training_progress(), self.w_max, self.labelled_share, self.ramp_up)
