"""Where independent tasks run: in processes of this machine, or on a Dask cluster."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from .worker_pool import run_isolated

# Takes a function and tasks; yields (index of the task, result) in order of completion, with None for a task that
# killed its process.
Run = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]

_BATCH = 8  # tasks that a cluster's worker gets at once


@contextmanager
def open_workers(workers: int, cluster: str | None, folder: Path, inputs: Iterable[str | Path]) -> Iterator[Run]:
    """Workers for many short tasks of one thread each.

    Args:
        workers: Number of processes here, if there is no cluster.
        cluster: See :class:`~uscl.core.cluster.Cluster`, also for its errors.
        folder: The output folder.
        inputs: See :class:`~uscl.core.cluster.Cluster`.

    Yields:
        The function that runs tasks.
    """
    if cluster is None:
        yield partial(run_isolated, workers=workers)
        return
    from .cluster import Cluster

    with Cluster(cluster, folder, inputs) as opened:
        yield partial(opened.run, batch=_BATCH)
