"""Make the random numbers of an epoch depend on the run's seed and the epoch, not on what was drawn before."""

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from uscl.core.sample_seed import sample_seed


@HOOKS.register_module()
class SampleSeedHook(Hook):
    """Makes the draws of a :class:`VideoClusterDataset` depend on (run seed, epoch, video) alone.

    What is drawn outside of samples (dropout, proposals that a detector samples) starts every epoch from (run seed,
    epoch, rank). So a resumed run needs no stored random state to draw as one that was never stopped.

    Datasets inside wrappers (``dataset``, ``datasets``) are reached, too. Give the run a seed
    (``randomness=dict(seed=0)``), or each run draws its own.

    Raises:
        ValueError: Training does not go by epochs, or no dataset listens.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the epoch and the generators before the loader's workers start on it."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError('SampleSeedHook needs epochs: set train_cfg=dict(by_epoch=True, max_epochs=…).')
        datasets = list(_listeners(runner.train_dataloader.dataset))
        if not datasets:
            raise ValueError(
                f'SampleSeedHook found no dataset with set_epoch in '
                f'{type(runner.train_dataloader.dataset).__name__}: leave the hook out of the config.'
            )
        for dataset in datasets:
            dataset.set_epoch(runner.epoch, run_seed=int(runner.seed))
        seed = sample_seed(int(runner.seed), runner.epoch, f'rank {get_rank()}')
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)


def _listeners(dataset):
    if hasattr(dataset, 'set_epoch'):
        yield dataset
    else:
        for inner in [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', [])]:
            if inner is not None:
                yield from _listeners(inner)
