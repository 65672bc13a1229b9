"""Number how often an item has already come in an epoch, so that each time has draws of its own.

A dataset wrapper (RepeatDataset, ClassBalancedDataset, ConcatDataset) or a sampler (RepeatAugSampler) may bring an item
several times. Neither a dataset nor a worker knows which time it is; only the order of the whole epoch does. The main
process therefore numbers that order, over all ranks, and sends each index to the workers along with its number.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

from mmengine.dist import all_gather_object, get_rank
from torch.utils.data import DataLoader


def number_occurrences(orders: Sequence[Sequence[int]], keys: Sequence[Hashable]) -> list[list[int]]:
    """Number the occurrences of every item in an epoch.

    Args:
        orders: For each rank, the indices that it loads, in order. The ranks take turns: what all load first comes
            before what any loads second.
        keys: Index → item; several indices may be the same item.

    Returns:
        For each rank and index, how often its item came before: 0 for the first time.

    >>> number_occurrences([[0, 1, 0], [0, 2, 1]], 'abc')
    [[0, 0, 2], [1, 0, 1]]
    """
    seen: Counter[Hashable] = Counter()
    numbers: list[list[int]] = [[] for _ in orders]
    for turn in zip_longest(*orders):
        for index, own in zip(turn, numbers, strict=True):
            if index is not None:
                own.append(seen[keys[index]])
                seen[keys[index]] += 1
    return numbers


def seeded_datasets(dataset: Any) -> Iterator[Any]:
    """The datasets inside wrappers (``dataset``, ``datasets``) that seed their samples.

    Those with ``set_epoch(epoch, run_seed)``; they also have ``set_occurrence(occurrence)`` and ``sample_key(info)``.
    """
    if hasattr(dataset, 'set_epoch'):
        yield dataset
    else:
        for inner in [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', [])]:
            if inner is not None:
                yield from seeded_datasets(inner)


def count_occurrences(loader: DataLoader) -> None:
    """Make the items of a loader draw anew whenever they come again in an epoch; the first time is unchanged.

    Items are told apart by their dataset's ``sample_key``. With several processes, all have to start an epoch together.

    Args:
        loader: A loader of a map-style dataset, before its first epoch.
    """
    if isinstance(loader.batch_sampler, _NumberedBatches):
        return
    dataset, sources = loader.dataset, list(seeded_datasets(loader.dataset))
    keys: Sequence[Hashable] = range(len(dataset))  # type: ignore[arg-type]
    if dataset not in sources and hasattr(dataset, 'get_data_info'):
        keys = [sources[0].sample_key(dataset.get_data_info(index)) for index in keys]
    dataset.__getitems__ = partial(_load, dataset, sources)  # type: ignore[attr-defined]  # torch's name for a batch
    # A DataLoader refuses the assignment, as an iterator of it keeps the old one; there is none yet.
    vars(loader)['batch_sampler'] = _NumberedBatches(loader.batch_sampler, keys)


def _load(dataset: Any, sources: Sequence[Any], batch: Iterable[tuple[int, int]]) -> list[Any]:
    """Load the items of a batch, given as (index, how often the item came before)."""
    try:
        samples = []
        for index, number in batch:
            for source in sources:
                source.set_occurrence(number)
            samples.append(dataset[index])
        return samples
    finally:
        for source in sources:
            source.set_occurrence(0)


class _NumberedBatches:
    def __init__(self, batches: Any, keys: Sequence[Hashable]) -> None:
        self._batches, self._keys = batches, keys
        self.sampler = getattr(batches, 'sampler', None)  # DistSamplerSeedHook sets its epoch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        batches = [list(batch) for batch in self._batches]
        orders = all_gather_object([index for batch in batches for index in batch])
        numbers = iter(number_occurrences(orders, self._keys)[get_rank()])
        for batch in batches:
            yield [(index, next(numbers)) for index in batch]

    def __len__(self) -> int:
        return len(self._batches)
