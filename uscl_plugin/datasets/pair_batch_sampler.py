"""Batches that always hold a negative pair."""

import logging
from collections.abc import Iterator

from mmengine.logging import print_log
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler, Sampler


@DATA_SAMPLERS.register_module()
class PairBatchSampler(BatchSampler):
    """A batch sampler that keeps a smaller last batch unless it holds a single video.

    One video gives one positive pair and no negative one, so a contrastive loss cannot use it. A video that falls into
    such a batch is left out of that epoch (another one in the next, as the order changes), and this is logged once.

    Args:
        sampler: Gives the order of the videos.
        batch_size: Videos in a batch, at least 2.

    Raises:
        ValueError: Fewer than two videos in the data set or in a batch.
    """

    def __init__(self, sampler: Sampler, batch_size: int) -> None:
        if batch_size < 2:
            raise ValueError(f'batch_size should be at least 2 videos, got {batch_size}: one pair has no negatives.')
        if len(sampler) < 2:  # type: ignore[arg-type]
            raise ValueError(
                f'{len(sampler)} video(s) to train on, but a contrastive loss needs at least 2: '  # type: ignore[arg-type]
                f'check data_root, split and data_fraction.'
            )
        super().__init__(sampler, batch_size, drop_last=False)
        self.num_dropped = int(len(sampler) % batch_size == 1)  # type: ignore[arg-type]
        if self.num_dropped:
            print_log(
                f'1 of {len(sampler)} videos is left out of each epoch: the last batch of size '  # type: ignore[arg-type]
                f'{batch_size} would hold one video, and one pair has no negatives.',
                logger='current',
                level=logging.WARNING,
            )

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of dataset indices."""
        for batch in super().__iter__():
            if len(batch) > 1:
                yield batch

    def __len__(self) -> int:
        return super().__len__() - self.num_dropped
