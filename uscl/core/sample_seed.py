"""Random draws for a sample that depend only on (run seed, epoch, video, occurrence)."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .hash_rank import hash_rank

_NEVER_SET = (
    'the epoch was never set, so every epoch repeats the draws of epoch 0: add default_hooks=dict(sample_seed=dict('
    "type='SampleSeedHook')) to the config, or call dataset.set_epoch(epoch)."
)


def sample_seed(run_seed: int, epoch: int, key: str) -> int:
    """Derive the seed for one sample.

    Args:
        run_seed: The seed of the run.
        epoch: The epoch, from 0.
        key: Name of the sample, such as a video id.

    Returns:
        An integer in [0, 2**63).
    """
    return hash_rank(f'{epoch}/{key}', run_seed) >> 1


class SampleSeeder:
    """Seeds the global random generators around one sample's pipeline, and restores them afterwards.

    Transforms, both mmcv's and users' own, draw from the global generators of ``random``, NumPy and torch. Seeding
    these for every sample makes its draws independent of the number of workers, their order, and where a run was
    resumed. Run seed and epoch live in shared memory, so that persistent workers, forked in the first epoch, see later
    ones.

    Args:
        seed: Run seed to use until :meth:`set` is called.

    Attributes:
        occurrence: How often the next sample has already come in this epoch, at least 0; of this process alone. Each
            time has other draws.
    """

    def __init__(self, seed: int = 0) -> None:
        import torch  # here, because reading a data folder does not need torch

        self.occurrence = 0
        # run seed, epoch, whether the epoch was ever set, samples drawn before that, epochs of the run
        self._state = torch.tensor([seed, 0, 0, 0, 0], dtype=torch.int64).share_memory_()

    def set(self, run_seed: int, epoch: int, num_epochs: int = 0) -> None:
        """Set the run seed, the epoch and the number of epochs for all processes that share this object."""
        self._state[0], self._state[1], self._state[2], self._state[4] = run_seed, epoch, 1, num_epochs

    @property
    def progress(self) -> float | None:
        """Completed fraction of the run's epochs, in [0, 1); None outside of a run."""
        return int(self._state[1]) / int(self._state[4]) if self._state[4] else None

    @contextmanager
    def __call__(self, key: str, num_samples: int) -> Iterator[None]:
        """Seed the generators for one sample.

        Args:
            key: Name of the sample.
            num_samples: Size of the dataset. Drawing more samples than that without ever setting the epoch means that
                every epoch repeats the draws of the first; this is warned about once.
        """
        run_seed, epoch, is_set, drawn = (int(value) for value in self._state[:4])
        if not is_set:
            self._state[3] = drawn + 1
            if drawn == num_samples:
                warnings.warn(_NEVER_SET, stacklevel=2)
        import torch

        seed = sample_seed(run_seed, epoch, f'{key}@{self.occurrence}' if self.occurrence else key)
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
