"""A loader and a training loop that can be timed."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler


class CountedBatches(Sampler):
    """A batch sampler that gives a set number of full batches, regardless of the number of videos.

    Every video occurs once before any occurs again, in an order drawn anew each time.

    Args:
        sampler: A sampler or dataset; only its length, the number of videos, is used.
        batch_size: Videos per batch.

    Attributes:
        count: Number of batches in the next pass; may be set at any time.
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
    """One way to pretrain, split so that its parts can be timed.

    Attributes:
        name: Display name.
        device: Device of the network.
        batch_size: Videos per batch.
        workers: Number of loading processes.
        views: Views per video that the network sees in a step.
    """

    name: str
    device: torch.device
    batch_size: int
    workers: int
    views: int = 2

    @abstractmethod
    def batches(self, count: int, one_core: bool = False) -> Iterable[Any]:
        """``count`` full batches from the loader; with ``one_core``, loaded in this process."""

    @abstractmethod
    def prepare(self, batch: Any) -> Any:
        """What the loop does to a batch before the network: copy to the device, augment, normalise."""

    @abstractmethod
    def train(self, batches: Iterable[Any]) -> None:
        """The training loop on batches from the loader."""

    @abstractmethod
    def train_prepared(self, batches: Iterable[Any]) -> None:
        """The training loop on batches from :meth:`prepare`."""


class DatasetWorkload(Workload):
    """A workload whose loader is PyTorch's own with its defaults, except that workers persist between passes.

    Args:
        dataset: The videos, or images.
        batch_size: Items per batch.
        workers: Number of loading processes.
        device: Device of the network.
    """

    def __init__(self, dataset: Dataset, batch_size: int, workers: int, device: torch.device) -> None:
        self.batch_size, self.workers, self.device = batch_size, workers, device
        self._loader, self._single = (
            DataLoader(
                dataset,
                batch_sampler=CountedBatches(dataset, batch_size),
                num_workers=number,
                persistent_workers=number > 0,
            )
            for number in (workers, 0)
        )

    def batches(self, count: int, one_core: bool = False) -> Iterable[Any]:
        """See :class:`Workload`."""
        loader = self._single if one_core else self._loader
        loader.batch_sampler.count = count  # type: ignore[union-attr]
        return loader

    def train_prepared(self, batches: Iterable[Any]) -> None:
        """The same loop: data already on the device stay there."""
        self.train(batches)
