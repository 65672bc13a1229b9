"""Shared by the command-line tools: error handling, and the command as it was typed."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec

from .errors import ClipError, SourceError
from .escaping import for_terminal
from .lost_worker import lost_worker

P = ParamSpec('P')


def as_command(status: int = 1, kept: str = '') -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Decorate a tool's ``main``: errors the user can fix become one line on stderr and an exit status.

    These are the package's own errors, OSError, ValueError, and a killed loading process. Anything else is a bug and
    keeps its traceback.

    Args:
        status: Exit status for such an error. A :class:`~uscl.core.errors.SourceError` has its own, and Ctrl-C gives
            130.
        kept: What is kept after Ctrl-C, and how to resume.
    """

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except BrokenPipeError:  # `uscl check | head` has read enough: exit quietly
                raise
            except (ClipError, SourceError, OSError, ValueError) as error:
                print(f'error: {for_terminal(_one_line(error))}', file=sys.stderr)
                return error.exit_code if isinstance(error, SourceError) else status
            except RuntimeError as error:
                if (reason := lost_worker(error)) is None:
                    raise
                print(f'error: {reason}', file=sys.stderr)
                return 1
            except KeyboardInterrupt:
                print(f'interrupted: {kept}' if kept else 'interrupted.', file=sys.stderr)
                return 130  # as shells report Ctrl-C

        return run

    return decorate


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # A worker's error carries a whole traceback; its last line is the reason.
    return lines[-1] if 'Traceback (most recent call last)' in str(error) else ' '.join(lines)


def command_line(tool: str, argv: Sequence[str] | None = None) -> str:
    """The command line that reproduces this call, to be stored with its results.

    Args:
        tool: Path of the tool in the repository, such as ``tools/evaluate.py``.
        argv: Its arguments; None takes those of this process.
    """
    called = sys.argv[0].split() if sys.argv[0].startswith('uscl ') else ['python', tool]  # set by cli.run_tool
    return shlex.join([*called, *(sys.argv[1:] if argv is None else argv)])


def use_device(device: str | None) -> None:
    """Let this process see no GPU (``cpu``), the first (``cuda``), one (``cuda:N``) or all (None).

    Call it before CUDA is initialised.

    Raises:
        ValueError: The name is another.
    """
    if device is None:
        return
    kind, _, number = device.partition(':')
    if device != 'cpu' and (kind != 'cuda' or (number and not number.isdigit())):
        raise ValueError(f'--device should be cpu, cuda or cuda:N, got {device}.')
    os.environ['CUDA_VISIBLE_DEVICES'] = '' if device == 'cpu' else number or '0'
