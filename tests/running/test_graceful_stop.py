"""The first signal asks, the second insists."""

import signal

import pytest

from uscl_plugin.running.graceful_stop import stop_on_signal


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_and_second_interrupts(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stop_on_signal() as request:
        assert not request.is_set
        signal.raise_signal(number)
        assert request.is_set
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
