"""Notice within a minute that another process of a run is gone, whatever this one is waiting for."""

import os
import re
import sys
import threading
import time
from datetime import timedelta

from torch import distributed as torch_dist

PATIENCE = 40.0  # seconds of silence; a process says that it lives every INTERVAL, also while it computes or waits
INTERVAL = 2.0
_GRACE = 10.0  # seconds for a process to end by itself once another's end is known
_FINISHED = 'finished'
_ENDED = 'ended: '  # by an error of its own
_LOST = 'lost: '  # since another process is gone


class LostProcessError(RuntimeError):
    """Another process of the run is gone; the message is one sentence with the remedy."""


class RankWatch:
    """Beats for this process and listens for the others, in threads, over the store where they met.

    Collectives notice a process that is gone only if its connection closes, and only once they are reached: not while
    the first process evaluates, not with NCCL, not where a machine lost its network. Their timeout cannot be short,
    since processes wait for the first one's reports. So each process counts up a number in the store every two seconds,
    and one that stays silent for ``patience`` seconds ends the others. A process that fails leaves its reason there.

    Args:
        rank: Of this process.
        world_size: Number of processes.
        address: Where the store listens: MASTER_ADDR.
        port: MASTER_PORT.
        attempt: Number of the start; torchrun keeps its store when it starts processes again.
        patience: Seconds of silence, well above those for which Python may stand still.
    """

    def __init__(
        self, rank: int, world_size: int, address: str, port: int, attempt: str = '0', patience: float = PATIENCE
    ) -> None:
        self.rank, self.world_size, self.patience = rank, world_size, patience
        self._place, self._attempt = (address, port), attempt
        self._heard: dict[int, tuple[str, float]] = {}  # of every process: what it said last, and since when
        self._threads: list[threading.Thread] = []
        self._store_error: str | None = None
        self._farewell: str | None = None
        self._wake, self._said, self._is_leaving = threading.Event(), threading.Event(), threading.Event()

    def start(self) -> None:
        """Begin; the store may appear later."""
        for target in (self._beat, self._judge):
            self._threads.append(threading.Thread(target=target, name=f'uscl-rank-watch{target.__name__}', daemon=True))
            self._threads[-1].start()

    def finish(self) -> None:
        """Say that this process has done its work, and stop."""
        self._leave(_FINISHED)

    def fail(self, error: BaseException) -> str | None:
        """Say why this process ends, and stop.

        Args:
            error: What it ends with.

        Returns:
            Which other process is the cause, if this one only lost the connection to it; None if none is known.
        """
        first_line = (str(error).splitlines() or [''])[0][:300]
        own = f'{_ENDED}{type(error).__name__}: {first_line}'
        # NCCL's and the store's errors have classes of their own; gloo's are known by the place that they name.
        is_lost = isinstance(error, torch_dist.DistError) or (
            isinstance(error, RuntimeError) and re.search(r'gloo/transport|by peer|Broken pipe', str(error))
        )
        if not is_lost:
            self._leave(own, stay=2 * INTERVAL)
            return None
        self._is_leaving.set()  # this thread reports
        began = time.monotonic()
        while not (cause := self._cause(2 * INTERVAL)) and time.monotonic() - began < 3 * INTERVAL:
            time.sleep(0.1)
        self._leave(f'{_LOST}{cause}' if cause else own, stay=2 * INTERVAL)
        return cause

    def _leave(self, farewell: str, stay: float = 0.0) -> None:
        self._is_leaving.set()
        self._farewell = farewell
        self._wake.set()
        # The first process keeps the store (unless torchrun does), so it stays until the others can have read this.
        if self._said.wait(INTERVAL) and self.rank == 0 and os.environ.get('TORCHELASTIC_USE_AGENT_STORE') != 'True':
            time.sleep(stay)
        for thread in self._threads:  # one that is inside the store when Python ends would abort the process
            if thread is not threading.current_thread():
                thread.join(INTERVAL)

    def _beat(self) -> None:
        try:
            store = torch_dist.TCPStore(*self._place, is_master=False, timeout=timedelta(minutes=30))
            count = 0
            while not self._said.is_set():
                farewell = self._farewell
                store.set(self._key(self.rank), farewell or str(count))
                if farewell is not None:
                    self._said.set()
                self._listen(store)
                count += 1
                if farewell is None:
                    self._wake.wait(INTERVAL)
        except (RuntimeError, OSError) as error:  # torch's DistError among them
            self._store_error = str(error).splitlines()[0]

    def _listen(self, store: torch_dist.TCPStore) -> None:
        for rank in range(self.world_size):
            if store.check([self._key(rank)]):
                said = store.get(self._key(rank)).decode(errors='replace')
                if said != self._heard.get(rank, ('', 0.0))[0]:
                    self._heard[rank] = (said, time.monotonic())

    def _judge(self) -> None:
        while not self._is_leaving.wait(INTERVAL / 2):
            if cause := self._cause(self.patience):
                if not self._is_leaving.wait(_GRACE if _ENDED in cause or self._store_error else 0):
                    print(f'error: {self.message(cause)}', file=sys.stderr, flush=True)
                    self._leave(f'{_LOST}{cause}', stay=2 * INTERVAL)
                    os._exit(1)  # the main thread may wait in a collective, which nothing else ends
                return

    def _cause(self, patience: float) -> str | None:
        heard, now = dict(self._heard), time.monotonic()
        for rank, (said, _) in sorted(heard.items()):
            if said.startswith(_ENDED):
                return f'Process {rank} {said}.'
        for said, _ in heard.values():
            if said.startswith(_LOST):
                return said.removeprefix(_LOST)
        if self._store_error or (self.rank in heard and now - heard[self.rank][1] > patience):
            return (
                f'Process 0 of {self.world_size}, or torchrun on the first machine, is gone or cannot be reached'
                f'{f" ({self._store_error})" if self._store_error else ""}.'
            )
        silent = [rank for rank, (said, since) in heard.items() if said != _FINISHED and now - since > patience]
        if silent:
            return (
                f'Process {", ".join(map(str, sorted(silent)))} of {self.world_size} is gone: nothing was heard of it '
                f'for {max(now - heard[rank][1] for rank in silent):.0f} s.'
            )
        return None

    def message(self, cause: str) -> str:
        """A cause with what happens and what to do."""
        return (
            f'{cause} Process {self.rank} ends, too: look at the output of that process and at its machine (memory, '
            f'disk, time limit), and start all of them again with --resume.'
        )

    def _key(self, rank: int) -> str:
        return f'uscl/{self._attempt}/process/{rank}'
