"""Measure how long a training loop takes, and how long the network waits for its next batch."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


class TimedBatches:
    """An iterable of batches that times the loop iterating over it.

    The clock runs from the loop's first request until the device has finished after the last. On a CPU, waiting is the
    time that requests take. A CUDA device lags behind the loop, so there it is the idle time of the device between the
    end of one step and the start of the next, measured by events in its stream.

    Args:
        batches: Batches to pass on, once.
        length: Number of batches.
        device: Device of the network.
        warm_up: Batches that the loop gets first, untimed.

    Attributes:
        seconds: Duration of the whole loop; 0 before its end.
        waited: Seconds of it in which the network waited.
    """

    def __init__(self, batches: Iterable[Any], length: int, device: torch.device, warm_up: Iterable[Any] = ()) -> None:
        self.batches, self.length, self.device = batches, length, device
        self.warm_up = list(warm_up)
        self.seconds = self.waited = 0.0

    def __len__(self) -> int:
        return self.length + len(self.warm_up)

    def __iter__(self) -> Iterator[Any]:
        yield from self.warm_up
        synchronise(self.device)
        waits = []
        start = time.perf_counter()
        asked = self._mark()
        for batch in self.batches:
            waits.append((asked, self._mark()))
            yield batch
            asked = self._mark()
        synchronise(self.device)
        self.seconds = time.perf_counter() - start
        self.waited = min(sum(self._between(*wait) for wait in waits), self.seconds)

    def _mark(self) -> Any:
        if self.device.type != 'cuda':
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    @staticmethod
    def _between(start: Any, end: Any) -> float:
        return end - start if isinstance(start, float) else start.elapsed_time(end) / 1000  # CUDA returns milliseconds
