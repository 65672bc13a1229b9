import time

import pytest
import torch

from instruments.throughput import FIGURES, measure_throughput, ratios
from instruments.throughput_report import figures_table, to_plain
from instruments.timed_batches import TimedBatches
from instruments.workload import CountedBatches, Workload

CPU = torch.device('cpu')


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Sleeper(Workload):
    """Loads, prepares and trains by sleeping (milliseconds), in one process."""

    device, batch_size, workers = CPU, 8, 0

    def __init__(self, name, load, prepare, train, clock=time):
        self.name, self.clock, self.log = name, clock, []
        self.load, self.preparation, self.step = load / 1000, prepare / 1000, train / 1000

    def batches(self, count, one_core=False):
        for _ in range(count):
            self.clock.sleep(self.load)
            yield 'raw'

    def prepare(self, batch):
        assert batch == 'raw'
        self.clock.sleep(self.preparation)
        return 'prepared'

    def train(self, batches):
        self.log.append(self.name)
        for batch in batches:
            self.prepare(batch)
            self.clock.sleep(self.step)

    def train_prepared(self, batches):
        for batch in batches:
            assert batch == 'prepared'
            self.clock.sleep(self.step)


@pytest.fixture(scope='module')
def clock():
    """A clock that the measurements go by, too."""
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        for module in ('throughput', 'timed_batches'):
            patch.setattr(f'instruments.{module}.time', clock)
        yield clock


@pytest.fixture(scope='module')
def found(clock):
    slow, fast = Sleeper('slow', 30, 0, 10, clock), Sleeper('fast', 5, 10, 10, clock)
    return measure_throughput([slow, fast], repeats=3, min_batches=4, min_seconds=0.01)


@pytest.mark.parametrize(
    'name, key, milliseconds',
    [
        ('slow', 'loader', 30),
        ('slow', 'loader_preprocessor', 30),
        ('slow', 'network', 10),
        ('slow', 'end_to_end', 40),
        ('fast', 'loader', 5),
        ('fast', 'loader_preprocessor', 15),
        ('fast', 'loader_one_core', 5),
        ('fast', 'loader_preprocessor_one_core', 15),
        ('fast', 'end_to_end', 25),
    ],
)
def test_rates_follow_from_what_each_part_takes(found, name, key, milliseconds):
    assert found[name].videos_per_second[key] == pytest.approx([8000 / milliseconds] * 3)


@pytest.mark.parametrize('name, share', [('slow', 30 / 40), ('fast', 5 / 25)])
def test_waiting_share_is_loading_over_all(found, name, share):
    assert found[name].waiting_share == pytest.approx([share] * 3)


def test_efficiency_is_end_to_end_over_network(found):
    assert found['slow'].efficiency.median == pytest.approx(10 / 40)


def test_real_sleep_is_found_by_the_real_clock(monkeypatch):
    monkeypatch.setattr('instruments.timed_batches.time', time)
    sleeper = Sleeper('a', 30, 0, 10)
    timed = TimedBatches(sleeper.batches(4), 4, CPU)
    sleeper.train(timed)
    assert timed.seconds >= 0.16
    assert timed.waited >= 0.12
    assert timed.seconds - timed.waited >= 0.04


def test_ratios_pair_repeats(found):
    got = ratios(found['fast'], found['slow'])
    assert set(got) == set(FIGURES)
    pairs = zip(found['fast'].videos_per_second['loader'], found['slow'].videos_per_second['loader'], strict=True)
    assert got['loader'].values == tuple(above / below for above, below in pairs)
    assert got['loader'].median == pytest.approx(6)


def test_measurements_alternate_and_turn_round(clock):
    workloads = [Sleeper(name, 1, 0, 1, clock) for name in 'ab']
    workloads[1].log = workloads[0].log
    measure_throughput(workloads, repeats=3, min_batches=1, min_seconds=1e-4)
    assert ''.join(workloads[0].log) == 'aabb' + 'ab' + 'ba' + 'ab'  # two to warm up each, then the repeats


@pytest.mark.parametrize('workers, loader', [(0, 20), (3, 21), (8, 24)])
def test_short_measurements_are_made_longer_to_whole_rounds_of_workers(clock, workers, loader):
    workload = Sleeper('a', 1, 0, 3, clock)
    workload.workers = workers
    result = measure_throughput([workload], repeats=1, min_batches=2, min_seconds=0.0199)['a']
    assert result.batches['loader'] == loader
    assert result.batches['loader_one_core'] == 20  # no workers
    assert result.batches['network'] == 7


def test_plain_figures_are_consistent(found):
    plain = to_plain(found, 'slow')
    for figures in plain['figures'].values():
        for key in FIGURES:
            rate, seconds = figures[key]['videos_per_second']['values'], figures[key]['seconds']['values']
            assert [r * s for r, s in zip(rate, seconds, strict=True)] == pytest.approx(
                [8 * figures[key]['batches']] * 3
            )
            assert figures[key]['views_per_second']['median'] == 2 * figures[key]['videos_per_second']['median']
    assert list(plain['ratios']) == ['fast']
    assert set(plain['ratios']['fast']) == {f'ratio_{key}' for key in FIGURES}
    assert figures_table(plain).row_count == 2 * (len(FIGURES) + 2)


def test_warm_up_is_handed_on_but_not_timed(clock):
    timed = TimedBatches(iter('bc'), 2, CPU, ['a'])
    seen = []
    for batch in timed:
        clock.sleep(7 if batch == 'a' else 0.5)
        seen.append(batch)
    assert (seen, len(timed), timed.seconds, timed.waited) == (['a', 'b', 'c'], 3, 1.0, 0.0)


@pytest.mark.parametrize('count, batch_size, videos', [(5, 4, 7), (2, 4, 64), (3, 8, 3)])
def test_batches_are_full_and_every_video_comes_once_before_any_again(count, batch_size, videos):
    batches = CountedBatches(range(videos), batch_size)
    batches.count = count
    first, second = list(batches), list(batches)
    assert [len(batch) for batch in first] == [batch_size] * count == [batch_size] * len(batches)
    order = [video for batch in first for video in batch]
    for start in range(0, len(order) - videos + 1, videos):
        assert sorted(order[start : start + videos]) == list(range(videos))
    assert first != second or videos < 4
