import pytest
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
    assert len(logged) == 1 and logged[0].startswith('1 of 9 videos is left out of each epoch')


def test_too_few_videos():
    with pytest.raises(ValueError, match='batch_size should be at least 2 videos, got 1'):
        PairBatchSampler(SequentialSampler(range(8)), 1)
    with pytest.raises(ValueError, match=r'1 video\(s\) to train on.*check data_root, split and data_fraction'):
        PairBatchSampler(SequentialSampler(range(1)), 4)
