"""The first signal asks, the second insists."""

import signal

import pytest

from uscl.core.graceful_stop import stop_on_signal


def test_an_ignored_signal_stays_ignored(sigint):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_on_signal() as request:
        signal.raise_signal(signal.SIGINT)
    assert not request.is_set and signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.usefixtures('sigint')
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_and_second_interrupts(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stop_on_signal() as request:
        assert not request.is_set
        signal.raise_signal(number)
        assert request.is_set
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
