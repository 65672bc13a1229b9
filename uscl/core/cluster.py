"""Run tasks on Dask workers, here or on many machines; only what a worker has lost is run again."""

import asyncio
import logging
import os
import pickle
import re
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from .cluster_job import ClusterJob, computing_versions
from .slurm_file import read_slurm_file

_AHEAD = 256  # batches handed out at a time, so that results do not pile up before they are taken
_LOST = 1  # workers started here that a batch may lose before it is run task by task
_TIMEOUT = 20.0  # seconds to connect
_SILENCE = 10.0  # seconds without a result until somebody looks whether there are workers
_SINGLE = 64  # up to as many tasks are not batched


class Cluster:
    """A Dask cluster, to be used in a ``with`` block.

    Args:
        where: ``local:N`` for N processes here; a file for :func:`~uscl.core.slurm_file.read_slurm_file`; or a
            scheduler's ``HOST:PORT``, also with a protocol such as ``tls://``.
        folder: The output folder, which exists, on a file system that all workers share.
        inputs: Further paths, of which all workers must see the common folder.
        threads: Number of threads that a task may use. Results may depend on it.

    Raises:
        OSError: No scheduler answers, or the file cannot be read.
        ValueError: ``where`` is none of these, the file is wrong, or Dask is not installed.
    """

    def __init__(self, where: str, folder: str | Path, inputs: Iterable[str | Path] = (), threads: int = 1) -> None:
        self.where = where
        self.threads = threads
        paths = [Path(path).absolute() for path in inputs]
        self._inputs = [os.path.commonpath(paths)] if paths else []  # with every task, so few
        self._probe = Path(folder).absolute() / f'.cluster-{secrets.token_hex(8)}'
        self._stack = ExitStack()

    def __enter__(self) -> 'Cluster':
        """Connect, starting workers if ``where`` says so."""
        try:
            import distributed
        except ImportError as error:
            raise ValueError(f"--cluster needs Dask: pip install 'uscl_plugin[cluster]' ({error}).") from error
        logging.getLogger('distributed').setLevel(logging.CRITICAL)  # what matters is said here
        with ExitStack() as stack:
            for left in self._probe.parent.glob('.cluster-*'):  # of a command that was killed
                left.unlink(missing_ok=True)
            self._probe.touch()
            stack.callback(self._probe.unlink, missing_ok=True)
            self._client = stack.enter_context(self._connect(distributed, stack))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Disconnect, and end the workers that were started."""
        self._stack.close()

    def run(self, function: Callable[[Any], Any], tasks: Sequence[Any], batch: int = 1) -> Iterator[tuple[int, Any]]:
        """Apply a function to every task.

        If a worker is lost, others run its tasks again. A batch that has lost several workers is run task by task, one
        at a time, so that only the culprit is lost.

        Args:
            function: Importable by name; its exceptions are raised here. It may be run more than once for a task, also
                at the same time, but one result is used.
            tasks: Its arguments; must be picklable.
            batch: Largest number of tasks that a worker gets at once, if there are many.

        Yields:
            ``(index of the task, result)`` in order of completion; the result is None if the task killed its workers.

        Raises:
            OSError: A worker does not see the shared folders, or the scheduler is gone.
            ValueError: A worker has other packages, or runs several tasks at once.
        """
        from distributed.scheduler import KilledWorker

        job = ClusterJob(function, str(Path.cwd()), str(self._probe), self._inputs, self.threads, computing_versions())
        numbered = iter(enumerate(tasks))
        size = batch if len(tasks) > _SINGLE else 1
        chunks = iter(lambda: list(islice(numbered, size)), [])
        suspects: list[tuple[int, Any]] = []
        running: dict[Any, list[tuple[int, Any]]] = {}

        def hand_out(chunk: list[tuple[int, Any]]) -> None:
            running[self._client.submit(_run_pickled(), pickle.dumps((job, chunk)), pure=False)] = chunk

        def take(future: Any) -> list[tuple[int, Any]]:
            chunk = running.pop(future)
            try:
                return future.result()
            except KilledWorker:
                suspects.extend(chunk)
                return []
            except ModuleNotFoundError as error:
                raise ValueError(f'a worker of {self.where} lacks {error.name}: install the same packages.') from error
            finally:
                future.release()

        try:
            for chunk in islice(chunks, _AHEAD):
                hand_out(chunk)
            while running:
                for future in self._next_done(running):
                    results = take(future)
                    if chunk := next(chunks, []):
                        hand_out(chunk)
                    yield from results
            alone, suspects = suspects, []
            for each in alone:
                hand_out([each])
                for future in self._next_done(running):
                    yield from take(future) or [(each[0], None)]
        except CancelledError as error:
            raise OSError(f'the scheduler of {self.where} is gone: run the same command again to go on.') from error
        finally:
            self._client.cancel(list(running))

    def _next_done(self, running: Iterable[Any]) -> Iterable[Any]:
        """Wait until at least one is done, and say so if that cannot be, because there are no workers."""
        from distributed import wait

        was_told = False
        while True:
            try:
                with self._client.as_current():
                    return wait(list(running), timeout=_SILENCE, return_when='FIRST_COMPLETED').done
            except asyncio.TimeoutError:
                if not was_told and not self._client.scheduler_info()['workers']:
                    print(f'waiting for workers of {self.where} …', file=sys.stderr)
                    was_told = True

    def _connect(self, dask: Any, stack: ExitStack) -> Any:
        from dask import config

        stack.enter_context(config.set({'distributed.scheduler.allowed-failures': _LOST}))
        if match := re.fullmatch(r'local:([1-9]\d*)', self.where):
            cluster = dask.LocalCluster(
                n_workers=int(match[1]),
                threads_per_worker=1,
                memory_limit=0,  # a worker is not ended for its share of the memory
                host='127.0.0.1',
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            return dask.Client(stack.enter_context(cluster), set_as_default=False)
        if self.where.endswith(('.yaml', '.yml')):
            jobs, arguments = read_slurm_file(self.where, self.threads)
            try:
                from dask_jobqueue import SLURMCluster
            except ImportError as error:
                raise ValueError(f"{self.where} needs dask-jobqueue: pip install 'uscl_plugin[cluster]'.") from error
            cluster = stack.enter_context(SLURMCluster(**arguments, silence_logs=logging.CRITICAL))
            cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)  # replaces jobs that ended
            return dask.Client(cluster, set_as_default=False)
        if not re.fullmatch(r'(?!local:)(\w+://)?[^/\s]+:\d+', self.where):
            raise ValueError(f'--cluster should be HOST:PORT, a .yaml file or local:N, got {self.where}.')
        try:
            return dask.Client(self.where, timeout=_TIMEOUT, set_as_default=False)
        except OSError as error:
            raise OSError(
                f'no Dask scheduler answers at {self.where} ({error}): start `dask scheduler` there, or correct the '
                f'address.'
            ) from error


def _run_pickled() -> Callable[[bytes], Any]:
    """A function that workers get as code, so that one which lacks this package can say so."""

    def run(pickled: bytes) -> Any:
        import pickle

        job, chunk = pickle.loads(pickled)
        return job(chunk)

    return run
