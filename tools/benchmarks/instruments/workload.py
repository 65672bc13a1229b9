"""What can be timed: a loader and a training loop."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler


class CountedBatches(Sampler):
    """A batch sampler that gives a set number of full batches, however many videos there are.

    Every video comes once before any comes again, in an order that is drawn anew each time.

    Args:
        sampler: Or the dataset: only its length, the number of videos, is used.
        batch_size: Videos in a batch.

    Attributes:
        count: Batches that the next pass gives; may be set at any time.
    """

    def __init__(self, sampler: Any, batch_size: int) -> None:
        self.num_videos, self.batch_size, self.count = len(sampler), batch_size, 1
        self._rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[int]]:
        passes = -(-self.count * self.batch_size // self.num_videos)
        order = np.concatenate([self._rng.permutation(self.num_videos) for _ in range(passes)])
        for k in range(self.count):
            yield order[k * self.batch_size : (k + 1) * self.batch_size].tolist()


class Workload(ABC):
    """One way to pretrain, taken apart so that its parts can be timed.

    Attributes:
        name: As reports show it.
        device: Of the network.
        batch_size: Videos in a batch.
        workers: Processes that load.
        views: Of each video that the network sees in a step.
    """

    name: str
    device: torch.device
    batch_size: int
    workers: int
    views: int = 2

    @abstractmethod
    def batches(self, count: int, one_core: bool = False) -> Iterable[Any]:
        """``count`` full batches as the loader gives them; ``one_core``: loaded in this process."""

    @abstractmethod
    def prepare(self, batch: Any) -> Any:
        """What the loop does to a batch before the network sees it: to the device, augment, normalise."""

    @abstractmethod
    def train(self, batches: Iterable[Any]) -> None:
        """The training loop on batches as the loader gives them."""

    @abstractmethod
    def train_prepared(self, batches: Iterable[Any]) -> None:
        """The training loop on batches that :meth:`prepare` gave."""
