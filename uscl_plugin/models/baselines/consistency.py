"""Base of Laine & Aila's two methods: cross-entropy plus a consistency loss with a ramped-up weight."""

import math
from typing import Any, ClassVar

import torch.nn.functional as F
from mmengine.logging import MessageHub
from torch import Tensor

from ..heads.uscl_head import UNLABELLED
from .semi_supervised import SemiSupervisedClassifier


def gaussian_ramp_up(t: float) -> float:
    """``exp(-5 (1 - t)²)``, from 0.0067 at t = 0 to 1 for t ≥ 1 (Laine & Aila 2017, Appendix A)."""
    return math.exp(-5 * (1 - min(max(t, 0.0), 1.0)) ** 2)


def consistency_weight(progress: float, w_max: float, labelled_share: float, ramp_up: float) -> float:
    """``w(t) = w_max · M/N · exp(-5 (1 - t)²)`` (Laine & Aila 2017, Appendix A).

    Args:
        progress: Completed fraction of the run, in [0, 1].
        w_max: Maximum weight if all images were labelled.
        labelled_share: M/N, fraction of labelled images.
        ramp_up: Fraction of the run in which t goes from 0 to 1; 0 for no ramp.

    Returns:
        The weight.
    """
    return w_max * labelled_share * (gaussian_ramp_up(progress / ramp_up) if ramp_up else 1.0)


def training_progress() -> float:
    """Completed fraction of the current runner's iterations, in [0, 1); 1 outside of a training run."""
    hub = MessageHub.get_current_instance()
    if hub.get_info('loop_stage') != 'train' or not hub.get_info('max_iters'):
        return 1.0
    return hub.get_info('iter', 0) / hub.get_info('max_iters')


def batch_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """``1/|B| Σ`` over the labelled images of a batch B (Laine & Aila 2017, Algorithms 1 and 2).

    The sum is divided by the number of all images, not of labelled ones, which is why w has the factor M/N.

    Args:
        logits: (N, K).
        labels: (N,) int64 in [0, K), or -1 for unlabelled images.

    Returns:
        Scalar; without any label an exact 0 that still has a graph.
    """
    return F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction='sum') / len(labels)


class ConsistencyClassifier(SemiSupervisedClassifier):
    """A classifier that needs facts about its training set, from ``TrainingSetHook`` or set by hand.

    Args:
        w_max: Maximum weight of the consistency loss if all images were labelled, ≥ 0; it is scaled by their fraction.
        ramp_up: Fraction of the run in which the weight ramps up, in [0, 1].
        **kwargs: Arguments of :class:`SemiSupervisedClassifier`.

    Raises:
        ValueError: A setting is out of range.
    """

    keeps_samples: ClassVar[bool] = False
    """Whether each sample needs its own index, and training must be by epochs."""

    def __init__(self, w_max: float, ramp_up: float, **kwargs: Any) -> None:
        if w_max < 0:
            raise ValueError(f'w_max should not be negative, got {w_max}.')
        if not 0 <= ramp_up <= 1:
            raise ValueError(f'ramp_up should be a fraction of the run, in [0, 1], got {ramp_up}.')
        super().__init__(**kwargs)
        self.w_max = w_max
        self.ramp_up = ramp_up
        self.labelled_share: float | None = None

    def start_training(self, num_samples: int, num_labelled: int, epoch: int = 0) -> None:
        """Set the facts about the training set.

        Args:
            num_samples: Number of samples N.
            num_labelled: Number of labelled samples M.
            epoch: Number of completed epochs, in a resumed run.

        Raises:
            ValueError: There are no labels, so nothing could be learned.
        """
        if not num_labelled:
            raise ValueError(
                f'none of the {num_samples} training samples has a label, so {type(self).__name__} would learn nothing:'
                f' check label_fraction, classes and split of the training set.'
            )
        self.labelled_share = num_labelled / num_samples

    def end_epoch(self) -> None:
        """Called on all ranks at the end of an epoch."""

    def current_weight(self) -> float:
        """The current w(t).

        Raises:
            ValueError: The facts about the training set were not set.
        """
        if self.labelled_share is None:
            raise ValueError(
                f'{type(self).__name__} does not know its training set: add '
                f"default_hooks=dict(training_set=dict(type='TrainingSetHook')) to the config, or call "
                f'start_training(num_samples, num_labelled) in your own training loop.'
            )
        return consistency_weight(training_progress(), self.w_max, self.labelled_share, self.ramp_up)
