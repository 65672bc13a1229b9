"""A video that comes again in an epoch has draws of its own, whatever repeats it, and the first time is as without."""

import numpy as np
import pytest
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, DefaultSampler, RepeatDataset
from mmpretrain.datasets import RepeatAugSampler
from torch.utils.data import BatchSampler, DataLoader, Subset

from uscl_plugin.datasets import occurrences
from uscl_plugin.datasets.occurrences import count_occurrences, number_occurrences, seeded_datasets
from uscl_plugin.datasets.transforms import LoadVideoFrames, MixFrames, SampleVideoFrames
from uscl_plugin.datasets.video_clusters import VideoClusterDataset

PIPELINE = [SampleVideoFrames(3), LoadVideoFrames(), MixFrames()]


@pytest.fixture(scope='module')
def folder(tmp_path_factory, make_clusters):
    """Six videos of twenty frames, one of them alone in its class."""
    return make_clusters(tmp_path_factory.mktemp('videos'), {f'v{k}': (20, 'b' if k == 5 else 'a') for k in range(6)})


def videos(folder):
    return VideoClusterDataset(str(folder), pipeline=PIPELINE)


def twice(folder):
    return RepeatDataset(videos(folder), times=2)


def balanced(folder):
    return ClassBalancedDataset(videos(folder), oversample_thr=0.9)


def joined(folder):
    return ConcatDataset([videos(folder), videos(folder)])


def load(dataset, batches, workers=0, epochs=(3,)):
    """(video, draws) of all items in the order of the epochs, as a run loads them."""
    loader = DataLoader(
        dataset, batch_sampler=batches, num_workers=workers, persistent_workers=workers > 0, collate_fn=list
    )
    count_occurrences(loader)
    count_occurrences(loader)  # numbers nothing twice
    found = []
    for epoch in epochs:
        for source in seeded_datasets(dataset):
            source.set_epoch(epoch, run_seed=5)
        batches.sampler.set_epoch(epoch)
        found += [drawn(item) for batch in loader for item in batch]
    return found


def drawn(item):
    return item['video_id'], (*item['frame_inds'].tolist(), *item['mix_ratios'])


def by_video(found):
    draws = {}
    for video, values in found:
        draws.setdefault(video, []).append(values)
    return draws


def sampled(dataset, sampler=DefaultSampler, **options):
    return BatchSampler(sampler(dataset, seed=0, **options), 4, drop_last=False)


@pytest.mark.parametrize(
    ('make', 'sampler', 'options', 'most'),
    [
        (videos, DefaultSampler, {}, 1),
        (twice, DefaultSampler, {}, 2),
        (balanced, DefaultSampler, {}, 3),
        (joined, DefaultSampler, {}, 2),
        (videos, RepeatAugSampler, {'num_repeats': 3}, 3),
        (twice, RepeatAugSampler, {'num_repeats': 2}, 4),
    ],
    ids=['plain', 'RepeatDataset', 'ClassBalancedDataset', 'ConcatDataset', 'RepeatAugSampler', 'both'],
)
def test_every_time_has_its_own_draws_and_the_first_those_of_today(folder, make, sampler, options, most):
    alone = videos(folder)
    alone.set_epoch(3, run_seed=5)
    today = dict(map(drawn, map(alone.__getitem__, range(6))))
    dataset = make(folder)
    found = load(dataset, sampled(dataset, sampler, **options))
    draws = by_video(found)
    assert max(map(len, draws.values())) == most
    for video, times in draws.items():
        assert times[0] == today[video]
        assert len(set(times)) == len(times)
    dataset = make(folder)
    assert load(dataset, sampled(dataset, sampler, **options), workers=2, epochs=(2, 3))[len(found) :] == found
    # Whoever asks for an item without a loader gets the first.
    assert drawn(dataset[0]) in today.items()


class Order(list):
    """A sampler of these indices in every epoch."""

    def set_epoch(self, epoch):
        pass


def test_all_ranks_count_together(folder, monkeypatch):
    """RepeatAugSampler gives the copies of a video to different ranks; one process sees what all see together."""
    monkeypatch.setattr(occurrences, 'all_gather_object', lambda order: orders)
    monkeypatch.setattr(occurrences, 'get_rank', lambda: rank)
    whole = sampled(videos(folder), RepeatAugSampler, num_repeats=3)
    whole.sampler.set_epoch(3)
    order = list(whole.sampler)
    orders, found = [order[0::2], order[1::2]], []
    for rank in (0, 1):
        found.append(load(videos(folder), BatchSampler(Order(orders[rank]), 2, drop_last=False)))
    orders, rank = [order], 0
    assert [one for turn in zip(*found, strict=True) for one in turn] == load(videos(folder), whole)


@pytest.mark.parametrize('seed', range(20))
def test_numbers_against_counting_by_hand(seed):
    rng = np.random.default_rng(seed)
    keys = rng.choice(list('abcd'), size=10).tolist()
    orders = [rng.integers(0, 10, rng.integers(0, 8)).tolist() for _ in range(rng.integers(1, 4))]
    expected = [
        [
            sum(
                keys[other[p]] == keys[index] and (p, r) < (position, rank)
                for r, other in enumerate(orders)
                for p in range(len(other))
            )
            for position, index in enumerate(order)
        ]
        for rank, order in enumerate(orders)
    ]
    assert number_occurrences(orders, keys) == expected


def test_a_wrapper_that_knows_no_items_repeats_indices_alone(folder):
    dataset = Subset(videos(folder), [4, 1])
    batches = sampled(dataset, RepeatAugSampler, num_repeats=2)
    draws = by_video(load(dataset, batches))
    assert [len(set(times)) for times in draws.values()] == [2]
