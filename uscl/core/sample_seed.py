"""Random draws of a sample that depend on (run seed, epoch, video) and on nothing else."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .hash_rank import hash_rank


def sample_seed(run_seed: int, epoch: int, key: str) -> int:
    """Derive the seed of one sample.

    Args:
        run_seed: The seed of the run.
        epoch: The epoch, from 0.
        key: The sample's name, such as a video id.

    Returns:
        An integer in [0, 2**63).
    """
    return hash_rank(f'{epoch}/{key}', run_seed) >> 1


class SampleSeeder:
    """Seeds the global generators around the pipeline of one sample, and restores them afterwards.

    Transforms of mmcv and of its users draw from the global generators of ``random``, NumPy and torch. Seeding these
    for every sample makes its draws independent of the number of workers, of their order, and of where a run resumed.
    Run seed and epoch lie in shared memory, so that persistent workers, which were forked in the first epoch, see
    later ones.

    Args:
        seed: The run seed to use until :meth:`set` is called.
    """

    def __init__(self, seed: int = 0) -> None:
        import torch  # here, as reading a data folder needs none

        # run seed, epoch, whether the epoch was ever set, samples drawn before it was
        self._state = torch.tensor([seed, 0, 0, 0], dtype=torch.int64).share_memory_()

    def set(self, run_seed: int, epoch: int) -> None:
        """Set what the draws of all processes that share this object depend on from now on."""
        self._state[0], self._state[1], self._state[2] = run_seed, epoch, 1

    @contextmanager
    def __call__(self, key: str, num_samples: int) -> Iterator[None]:
        """Seed for one sample.

        Args:
            key: The sample's name.
            num_samples: The size of the dataset: drawing more than that without an epoch ever set means that every
                epoch repeats the draws of the first, which is warned about once.
        """
        run_seed, epoch, is_set, drawn = (int(value) for value in self._state)
        if not is_set:
            self._state[3] = drawn + 1
            if drawn == num_samples:
                warnings.warn(
                    'the epoch was never set, so every epoch repeats the draws of epoch 0: add '
                    "default_hooks=dict(sample_seed=dict(type='SampleSeedHook')) to the config, or call "
                    'dataset.set_epoch(epoch).',
                    stacklevel=2,
                )
        import torch

        seed = sample_seed(run_seed, epoch, key)
        python_state, numpy_state = random.getstate(), np.random.get_state()
        with torch.random.fork_rng(devices=[]):
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.default_generator.manual_seed(seed)
            try:
                yield
            finally:
                random.setstate(python_state)
                np.random.set_state(numpy_state)
