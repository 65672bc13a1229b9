"""Make the random numbers of an epoch depend on the run's seed and the epoch, not on earlier draws."""

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from uscl.core.sample_seed import sample_seed
from uscl_plugin.datasets.occurrences import count_occurrences, seeded_datasets


@HOOKS.register_module()
class SampleSeedHook(Hook):
    """Makes the draws of a :class:`VideoClusterDataset` depend only on (run seed, epoch, video, occurrence).

    The occurrence counts how often the video has already come in the epoch, on all ranks together: if a dataset wrapper
    or a sampler repeats it, each time has draws of its own.

    Draws outside of samples (dropout, proposals sampled by a detector) start every epoch from (run seed, epoch, rank).
    A resumed run therefore draws the same numbers as an uninterrupted one, without stored random state.

    Datasets inside wrappers (``dataset``, ``datasets``) are included. Set the seed of the run
    (``randomness=dict(seed=0)``), otherwise each run draws different numbers.

    Raises:
        ValueError: Training is not by epochs, or no dataset accepts the epoch.
    """

    def before_train(self, runner: Runner) -> None:
        """Check that there is something to seed, and number what repeats."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError('SampleSeedHook needs epochs: set train_cfg=dict(by_epoch=True, max_epochs=…).')
        if not list(seeded_datasets(runner.train_dataloader.dataset)):
            raise ValueError(
                f'SampleSeedHook found no dataset with set_epoch in '
                f'{type(runner.train_dataloader.dataset).__name__}: remove the hook from the config.'
            )
        count_occurrences(runner.train_dataloader)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the epoch and the generators before the loader's workers start on it."""
        for dataset in seeded_datasets(runner.train_dataloader.dataset):
            dataset.set_epoch(runner.epoch, run_seed=int(runner.seed), num_epochs=runner.max_epochs)
        seed = sample_seed(int(runner.seed), runner.epoch, f'rank {get_rank()}')
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
