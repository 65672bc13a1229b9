"""Run tasks in worker processes, and survive tasks that kill their worker."""

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

    A decoder may crash on a damaged clip and take its process down. Tasks that were running at that moment are run
    again at the end, each in a separate process, so that only the culprit is lost.

    Args:
        function: Importable by name; its exceptions are raised here.
        tasks: Its arguments; must be picklable.
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
    """Take tasks from ``waiting`` until it is empty or a worker dies; tasks then running go to ``lost``."""
    running: dict[Future, tuple[int, Any]] = {}
    # Forking saves each worker the seconds that importing PyTorch takes; elsewhere the platform's default is used.
    context = multiprocessing.get_context('fork' if sys.platform == 'linux' else None)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a forked child lacks its parent's threads, and OpenCV would wait for them
    pool = ProcessPoolExecutor(workers, context, _prepare_worker)
    try:
        while waiting or running:
            while waiting and len(running) < 2 * workers:  # few, so that a crash leaves few suspects
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the main process stops; workers finish their video
    cv2.setNumThreads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Exit when the main process is gone: a killed one cannot stop its workers, which would wait forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
