import pytest
from mmengine.dataset import DefaultSampler
from torch.utils.data import SequentialSampler

from uscl_plugin.datasets.pair_batch_sampler import PairBatchSampler


@pytest.mark.parametrize('batch_size', [2, 3, 4, 32])
@pytest.mark.parametrize('num_videos', [2, 3, 4, 5, 9, 33])
def test_every_batch_has_a_negative_and_only_a_lone_video_is_dropped(num_videos, batch_size):
    sampler = PairBatchSampler(SequentialSampler(range(num_videos)), batch_size)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert all(2 <= len(batch) <= batch_size for batch in batches)
    used = [i for batch in batches for i in batch]
    assert sampler.num_dropped == (num_videos % batch_size == 1)
    assert used == list(range(num_videos - sampler.num_dropped))


def test_the_dropped_video_is_counted_in_the_log(caplog, monkeypatch):
    logged = []
    monkeypatch.setattr('uscl_plugin.datasets.pair_batch_sampler.print_log', lambda msg, **_: logged.append(msg))
    PairBatchSampler(SequentialSampler(range(8)), 4)
    assert logged == []
    PairBatchSampler(SequentialSampler(range(9)), 4)
    assert len(logged) == 1 and logged[0].startswith('each epoch leaves out 1 of 9 videos')


def test_too_few_videos():
    with pytest.raises(ValueError, match=r'batch_size .*1'):
        PairBatchSampler(SequentialSampler(range(8)), 1)
    with pytest.raises(ValueError, match=r'^1 video.*data_root, split and data_fraction'):
        PairBatchSampler(SequentialSampler(range(1)), 4)


def ranks_of(num_videos, world_size, monkeypatch, round_up=True):
    """MMEngine's shuffling samplers of all ranks."""
    samplers = []
    for rank in range(world_size):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, world_size))
        samplers.append(DefaultSampler(range(num_videos), seed=0, round_up=round_up))
    return samplers


@pytest.mark.parametrize('round_up', [True, False])
@pytest.mark.parametrize('batch_size', [2, 3, 4, 32])
@pytest.mark.parametrize('world_size', [2, 3, 4])
@pytest.mark.parametrize('num_videos', [8, 9, 11, 13, 16, 33])
def test_ranks_take_equal_steps_and_no_video_twice(monkeypatch, num_videos, world_size, batch_size, round_up):
    samplers = [
        PairBatchSampler(sampler, batch_size) for sampler in ranks_of(num_videos, world_size, monkeypatch, round_up)
    ]
    for epoch in range(2):
        for sampler in samplers:
            sampler.sampler.set_epoch(epoch)
        ranks = [list(sampler) for sampler in samplers]
        sizes = [[len(batch) for batch in batches] for batches in ranks]
        assert all(found == sizes[0] for found in sizes) and min(sizes[0]) >= 2
        assert {len(sampler) for sampler in samplers} == {len(sizes[0])}
        used = [video for batches in ranks for batch in batches for video in batch]
        assert len(set(used)) == len(used) == num_videos - samplers[0].num_dropped
        assert samplers[0].num_dropped <= 2 * world_size - 1  # a remainder, and one video of each rank


@pytest.mark.parametrize(
    ('num_videos', 'text'),
    [
        (9, 'each epoch leaves out 1 of 9 videos'),
        (10, 'each epoch leaves out 2 of 10 videos'),
    ],
)
def test_what_several_processes_leave_out_is_logged(monkeypatch, num_videos, text):
    logged = []
    monkeypatch.setattr('uscl_plugin.datasets.pair_batch_sampler.print_log', lambda msg, **_: logged.append(msg))
    PairBatchSampler(ranks_of(num_videos, 2, monkeypatch)[0], 4)
    assert len(logged) == 1 and logged[0].startswith(text)


def test_too_few_videos_for_the_processes(monkeypatch):
    with pytest.raises(ValueError, match=r'^3 video.*2 processes'):
        PairBatchSampler(ranks_of(3, 2, monkeypatch)[0], 4)
