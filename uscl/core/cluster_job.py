"""What a Dask worker does for each batch of tasks: make sure that it works like the client, and apply the function."""

import multiprocessing
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from uscl.version import __version__

from .environment import installed_versions

# Besides the hosts: what decodes, resizes and computes.
_COMPUTING = ('av', 'opencv-python', 'pillow', 'pydicom', 'scikit-learn', 'scipy', 'torch', 'torchvision')
_PATIENCE = 30.0  # seconds until a new file is seen on another machine: network file systems remember for a while
_prepared_for = ''  # the probe of the client whose tasks this process can run
_THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


@dataclass(frozen=True)
class ClusterJob:
    """Applies a function to tasks on a worker that sees the client's folders and has its packages.

    Attributes:
        function: Importable by name.
        folder: The client's working folder, absolute, in which relative paths mean the same.
        probe: A file that the client has just made in the output folder.
        inputs: Further paths that must exist.
        threads: Number of threads that a task may use.
        versions: The client's, see :func:`computing_versions`.
    """

    function: Callable[[Any], Any]
    folder: str
    probe: str
    inputs: Sequence[str]
    threads: int
    versions: dict[str, str]

    def __call__(self, chunk: Sequence[tuple[int, Any]]) -> list[tuple[int, Any]]:
        """Apply the function to every ``(index, task)``.

        Raises:
            OSError: A folder of the client is not visible here.
            ValueError: The worker has other packages, or runs several tasks at once.
        """
        global _prepared_for
        if _prepared_for != self.probe:
            self._prepare()
            _prepared_for = self.probe
        return [(index, self.function(task)) for index, task in chunk]

    def _prepare(self) -> None:
        from distributed import get_worker

        worker = get_worker()
        where = f'worker {worker.address} on {socket.gethostname()}'
        if worker.state.nthreads != 1:  # threads share random generators, settings and the working folder
            raise ValueError(f'{where} runs {worker.state.nthreads} tasks at once: start it with --nthreads 1.')
        own = computing_versions()
        other = [name for name in {**self.versions, **own} if own.get(name) != self.versions.get(name)]
        if other:
            name = other[0]
            pair = f'{name} {own.get(name, "is missing")}, here {self.versions.get(name, "it is missing")}'
            raise ValueError(f'{where} has {pair}: install the same packages everywhere.')
        self._enter(where)
        # A nanny's worker may not start processes, such as those that load data.
        multiprocessing.current_process().daemon = False
        limit_threads(self.threads)

    def _enter(self, where: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        for path in (self.folder, self.probe, *self.inputs):
            while not Path(path).exists():
                if time.monotonic() > deadline:
                    missing = Path(path).parent if path == self.probe else path
                    raise OSError(
                        f'{missing} is not visible to {where}: start the command in a folder, with data and --out, '
                        f'that all machines share under the same path.'
                    )
                time.sleep(0.2)
        os.chdir(self.folder)


def computing_versions() -> dict[str, str]:
    """Versions that results may depend on: Python, this package, the hosts, and what decodes and computes."""
    versions = {'python': platform.python_version(), 'uscl_plugin': __version__, **installed_versions()}
    for name in _COMPUTING:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def limit_threads(count: int) -> None:
    """Let this process, and those that it starts, compute with a number of threads."""
    import cv2
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(_THREADS, str(count)))
    threadpool_limits(count)
    cv2.setNumThreads(count)
    if (torch := sys.modules.get('torch')) is not None:
        torch.set_num_threads(count)
