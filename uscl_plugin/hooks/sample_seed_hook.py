"""Make the random numbers of an epoch depend on the run's seed and the epoch, not on earlier draws."""

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
    """Makes the draws of a :class:`VideoClusterDataset` depend only on (run seed, epoch, video).

    Draws outside of samples (dropout, proposals sampled by a detector) start every epoch from (run seed, epoch, rank).
    A resumed run therefore draws the same numbers as an uninterrupted one, without stored random state.

    Datasets inside wrappers (``dataset``, ``datasets``) are included. Set the seed of the run
    (``randomness=dict(seed=0)``), otherwise each run draws different numbers.

    Raises:
        ValueError: Training is not by epochs, or no dataset accepts the epoch.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the epoch and the generators before the loader's workers start on it."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError('SampleSeedHook needs epochs: set train_cfg=dict(by_epoch=True, max_epochs=…).')
        datasets = list(_listeners(runner.train_dataloader.dataset))
        if not datasets:
            raise ValueError(
                f'SampleSeedHook found no dataset with set_epoch in '
                f'{type(runner.train_dataloader.dataset).__name__}: remove the hook from the config.'
            )
        for dataset in datasets:
            dataset.set_epoch(runner.epoch, run_seed=int(runner.seed), num_epochs=runner.max_epochs)
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
