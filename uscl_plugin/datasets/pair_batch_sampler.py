"""Batches that always contain a negative pair."""

import logging
from collections.abc import Iterator
from itertools import islice
from math import ceil

from mmengine.logging import print_log
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler, Sampler

from uscl.core.plurals import counted


@DATA_SAMPLERS.register_module()
class PairBatchSampler(BatchSampler):
    """A batch sampler that keeps a smaller last batch unless it contains only one video.

    One video gives one positive pair and no negatives, so a contrastive loss cannot use it. A video that ends up in
    such a batch is skipped in that epoch (another one in the next, since the order changes); this is logged once.

    With several processes, each takes the same number of steps with batches of the same size, which gathering negatives
    and averaging gradients rely on. Videos that do not divide evenly among the processes are skipped in that epoch,
    too. A sampler that rounds up (MMEngine's default) would repeat other videos instead, and a video that occurs twice
    in a global batch is its own negative.

    Args:
        sampler: Provides the order of the videos. If it distributes a ``dataset`` over ``world_size`` processes, as
            MMEngine's samplers do, it yields every ``world_size``-th video here.
        batch_size: Videos per batch of one process, at least 2.

    Raises:
        ValueError: A batch, or the dataset for one process, has fewer than two videos.
    """

    def __init__(self, sampler: Sampler, batch_size: int) -> None:
        if batch_size < 2:
            raise ValueError(f'batch_size should be at least 2 videos, got {batch_size}: one pair has no negatives.')
        world_size = getattr(sampler, 'world_size', 1)
        num_videos = len(sampler.dataset) if world_size > 1 else len(sampler)  # type: ignore[attr-defined, arg-type]
        share = num_videos // world_size
        if share < 2:
            where, each = (f' in {world_size} processes', ' in each') if world_size > 1 else ('', '')
            what = f'{counted(num_videos, "video")} to train on{where}, but a contrastive loss needs at least 2{each}'
            raise ValueError(f'{what}: check data_root, split and data_fraction.')
        super().__init__(sampler, batch_size, drop_last=False)
        self.num_used = share - int(share % batch_size == 1)  # in this process
        self.num_dropped = num_videos - world_size * self.num_used  # in the whole dataset
        if self.num_dropped:
            reason = f'they do not divide among {world_size} processes'
            if self.num_used < share:
                reason = f'the last batch of size {batch_size} would hold one video, and one pair has no negatives'
            left_out = f'each epoch leaves out {self.num_dropped} of {num_videos} videos'
            print_log(f'{left_out}: {reason}.', logger='current', level=logging.WARNING)

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of dataset indices."""
        indices = list(islice(self.sampler, self.num_used))
        for start in range(0, len(indices), self.batch_size):
            yield indices[start : start + self.batch_size]

    def __len__(self) -> int:
        return ceil(self.num_used / self.batch_size)
