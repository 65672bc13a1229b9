"""Run tasks in worker processes, and survive those that kill their worker."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cv2


def run_isolated(function: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> Iterator[tuple[int, Any]]:
    """Apply a function to every task in parallel worker processes.

    A decoder may crash on a damaged clip and take its process along. The tasks that were under way then are run again
    at the end, one by one, each in a process of its own, so that only the culprit is lost.

    Args:
        function: Importable by name; what it raises is raised here.
        tasks: Its arguments; picklable.
        workers: Number of processes, at least 1.

    Yields:
        ``(index of the task, result)`` in order of completion; the result is None if the task killed its process.
    """
    waiting = deque(enumerate(tasks))
    suspects: list[tuple[int, Any]] = []
    while waiting:
        yield from _run_until_death(function, waiting, workers, suspects)
    for index, task in suspects:
        lost: list[tuple[int, Any]] = []
        yield from _run_until_death(function, deque([(index, task)]), 1, lost)
        if lost:
            yield index, None


def _run_until_death(
    function: Callable[[Any], Any], waiting: deque[tuple[int, Any]], workers: int, lost: list[tuple[int, Any]]
) -> Iterator[tuple[int, Any]]:
    """Take tasks from ``waiting`` until it is empty or a worker dies; tasks under way then go to ``lost``."""
    running: dict[Future, tuple[int, Any]] = {}
    # Forking spares each worker the seconds that importing PyTorch takes; elsewhere the platform's own way is used.
    context = multiprocessing.get_context('fork' if sys.platform == 'linux' else None)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a fork has no threads of its parent, and OpenCV would wait for them
    pool = ProcessPoolExecutor(workers, context, _prepare_worker)
    try:
        while waiting or running:
            while waiting and len(running) < 2 * workers:  # few, so that a death makes few suspects
                running[pool.submit(function, waiting[0][1])] = waiting[0]
                waiting.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                result = future.result()
                yield running.pop(future)[0], result
    except BrokenProcessPool:
        lost += running.values()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the main process stops, workers finish their video
    cv2.setNumThreads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """A killed main process cannot stop its workers, which would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
