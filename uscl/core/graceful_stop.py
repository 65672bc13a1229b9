"""Ctrl-C that ends a run between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether the user, or the machine, has asked the run to end.

    Attributes:
        is_set: True after the first SIGINT or SIGTERM.
    """

    def __init__(self) -> None:
        self.is_set = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.is_set:
            raise KeyboardInterrupt  # the second time at once
        self.is_set = True


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request, and the second into ``KeyboardInterrupt``.

    A signal that this process ignores, as in the background of a shell script or after ``nohup``, stays ignored.
    Loading processes inherit this, so that Ctrl-C in a terminal does not kill them under a step. Use it in the main
    thread.
    """
    request = StopRequest()
    numbers = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]
    before = [signal.signal(number, request._receive) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
