"""Send what a process prints to a file, and keep the terminal for a few lines."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

from rich.console import Console


@contextmanager
def run_console(log: Path, verbose: bool) -> Iterator[Console]:
    """A console for the few lines of a run.

    Args:
        log: Receives everything else that is printed, see :func:`output_to`.
        verbose: Leave the rest on the terminal.
    """
    with nullcontext(sys.stdout) if verbose else output_to(log) as shown:
        yield Console(file=shown, highlight=False, markup=False, emoji=False)


@contextmanager
def output_to(log: Path) -> Iterator[TextIO]:
    """Append standard output and error to a file, also those of C libraries and of processes started meanwhile.

    Args:
        log: The file; its folder is made.

    Yields:
        The standard output from before, to print on.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open('a', encoding='utf-8', buffering=1, errors='backslashreplace') as file:
        saved = {number: os.dup(number) for number in (1, 2)}
        shown = _reopened(sys.stdout, saved[1])
        for number in saved:
            os.dup2(file.fileno(), number)
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield shown
        finally:
            for number, descriptor in saved.items():
                os.dup2(descriptor, number)
                os.close(descriptor)
            if shown is not sys.stdout:
                with suppress(BrokenPipeError):
                    shown.close()


def _reopened(stream: TextIO, descriptor: int) -> TextIO:
    """A stream that still writes to where ``stream`` does after file descriptor 1 has been redirected."""
    try:
        is_standard = stream.fileno() == 1
    except (OSError, ValueError, AttributeError):
        is_standard = False  # a notebook's or a test's own, which descriptors do not concern
    if not is_standard:
        return stream
    return os.fdopen(os.dup(descriptor), 'w', encoding=stream.encoding, errors='replace', buffering=1)
