"""Time the loader, the network and both together, for several workloads in turn."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from math import ceil
from typing import Any

import torch

from .spread import Spread, paired_ratios
from .timed_batches import TimedBatches, synchronise
from .workload import Workload

# Timed quantities by their key in reports. Views are ready for the network after the preprocessor; figures on one core
# are loaded in this process with one thread, regardless of the number of workers otherwise.
FIGURES = {
    'loader': 'loader',
    'loader_preprocessor': 'loader + preprocessor',
    'loader_one_core': 'loader, one core',
    'loader_preprocessor_one_core': 'both, one core',
    'network': 'network',
    'end_to_end': 'end to end',
}


@dataclass
class Throughput:
    """Measurements of one workload, R repeats each.

    Attributes:
        views: Views per video.
        videos_per_second: Throughput by key of :data:`FIGURES`.
        batches: Number of batches timed in each repeat, by key of :data:`FIGURES`.
        seconds: Duration of each repeat, by key of :data:`FIGURES`.
        waiting_share: Fraction of the end-to-end time in which the network waited.
        peak_memory: Bytes on the CUDA device in the end-to-end loop, including other workloads' memory; None without
            CUDA.
    """

    views: int
    videos_per_second: dict[str, list[float]] = field(default_factory=lambda: {key: [] for key in FIGURES})
    batches: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {key: [] for key in FIGURES})
    waiting_share: list[float] = field(default_factory=list)
    peak_memory: int | None = None

    @property
    def efficiency(self) -> Spread:
        """End-to-end throughput as a fraction of the network's alone: 1 if it never waits."""
        return paired_ratios(self.videos_per_second['end_to_end'], self.videos_per_second['network'])


def ratios(found: Throughput, baseline: Throughput) -> dict[str, Spread]:
    """Videos per second of one workload relative to another timed in turn with it, by key."""
    return {
        key: paired_ratios(found.videos_per_second[key], baseline.videos_per_second[key])
        for key in FIGURES
        if found.videos_per_second[key] and baseline.videos_per_second[key]
    }


def measure_throughput(
    workloads: Sequence[Workload],
    repeats: int = 5,
    min_batches: int = 4,
    min_seconds: float = 2.0,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Throughput]:
    """Time all workloads alternately; the order is reversed after every repeat.

    A measurement is one pass of a loader over a fixed number of batches, in whole rounds of its workers, from the first
    request to the last batch (or step): everything loaded in it is used in it. It includes waiting for the first batch,
    as at the start of every epoch of a run.

    Args:
        workloads: Workloads with different names.
        repeats: Number of measurements of each figure.
        min_batches: Minimum number of batches in a measurement.
        min_seconds: Approximate minimum duration of a measurement.
        report: Called with progress messages.

    Returns:
        The measurements by workload name.
    """
    found = {workload.name: Throughput(workload.views) for workload in workloads}
    timers = [timer for workload in workloads for timer in _timers(workload, found[workload.name])]
    timers.sort(key=lambda timer: list(FIGURES).index(timer.key))  # loaders first, before networks start their threads
    for timer in timers:
        report(f'warming up: {timer.workload.name}, {FIGURES[timer.key]}')
        timer.warm_up(min_batches, min_seconds)
    keys = [key for key in FIGURES if any(timer.key == key for timer in timers)]
    for number in range(repeats):
        for key in keys:
            turn = [timer for timer in timers if timer.key == key]
            for timer in turn if number % 2 == 0 else reversed(turn):
                timer.measure()
        report(f'repeat {number + 1} of {repeats}')
    return found


def time_training(workload: Workload, count: int, warm_up: Sequence[Any] = ()) -> TimedBatches:
    """Train on ``count`` batches from the loader, after those of ``warm_up``; returns the times."""
    timed = TimedBatches(workload.batches(count), count, workload.device, warm_up)
    workload.train(timed)
    return timed


def time_network(workload: Workload, prepared: Any, count: int, warm_up: Sequence[Any] = ()) -> TimedBatches:
    """Train on one prepared batch ``count`` times, after those of ``warm_up``; returns the times."""
    timed = TimedBatches(repeat(prepared, count), count, workload.device, warm_up)
    workload.train_prepared(timed)
    return timed


class _Timer:
    """Timer of one figure for one workload."""

    def __init__(self, key: str, workload: Workload, result: Throughput, run: Callable[[int], float]) -> None:
        self.key, self.workload, self.result, self.run = key, workload, result, run

    def warm_up(self, min_batches: int, min_seconds: float) -> None:
        """Run twice, and choose from the second run how many batches to time."""
        workers = 0 if self.key.endswith('one_core') or self.key == 'network' else self.workload.workers
        round_ = max(1, workers)
        first = 1 if self.key in ('network', 'end_to_end') else round_
        self.run(first)
        each = self.run(first) / first
        enough = max(min_batches, ceil(min_seconds / each))
        self.result.batches[self.key] = ceil(enough / round_) * round_
        self.result.waiting_share.clear()

    def measure(self) -> None:
        """Take one measurement."""
        batches = self.result.batches[self.key]
        seconds = self.run(batches)
        self.result.seconds[self.key].append(seconds)
        self.result.videos_per_second[self.key].append(batches * self.workload.batch_size / seconds)


def _timers(workload: Workload, result: Throughput) -> Iterator[_Timer]:
    prepared = workload.prepare(next(iter(workload.batches(1, one_core=True))))
    raw = next(iter(workload.batches(1, one_core=True)))

    def network(count: int) -> float:
        return time_network(workload, prepared, count, [prepared]).seconds

    def end_to_end(count: int) -> float:
        if workload.device.type == 'cuda':
            torch.cuda.reset_peak_memory_stats(workload.device)
        timed = time_training(workload, count, [raw])
        result.waiting_share.append(timed.waited / timed.seconds)
        if workload.device.type == 'cuda':
            result.peak_memory = torch.cuda.max_memory_allocated(workload.device)
        return timed.seconds

    for one_core in (False, True):
        for prepare in (False, True):
            key = 'loader' + '_preprocessor' * prepare + '_one_core' * one_core
            yield _Timer(key, workload, result, partial(load_batches, workload, prepare=prepare, one_core=one_core))
    yield _Timer('network', workload, result, network)
    yield _Timer('end_to_end', workload, result, end_to_end)


def load_batches(workload: Workload, count: int, prepare: bool, one_core: bool = False) -> float:
    """Seconds to load ``count`` batches."""
    with _one_thread() if one_core else nullcontext():
        start = time.perf_counter()
        for batch in workload.batches(count, one_core):
            if prepare:
                workload.prepare(batch)
        synchronise(workload.device)
        return time.perf_counter() - start


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
