"""What commands have in common: types of arguments, errors, and the line that was typed."""

import argparse
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec

from .errors import ClipError, SourceError
from .escaping import for_terminal

P = ParamSpec('P')


def as_command(status: int = 1, kept: str = '') -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Decorate what a tool runs: what the user can mend is one line on stderr and an exit status, not a traceback.

    These are the package's own errors, OSError and ValueError; any other is a mistake of the program and passes.

    Args:
        status: Of such an error; a :class:`~uscl.core.errors.SourceError` has its own. After Ctrl-C it is 130.
        kept: What Ctrl-C leaves, and how to go on.
    """

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except BrokenPipeError:  # `uscl check | head` has read enough: the command line ends quietly
                raise
            except (ClipError, SourceError, OSError, ValueError) as error:
                print(f'error: {for_terminal(_one_line(error))}', file=sys.stderr)
                return error.exit_code if isinstance(error, SourceError) else status
            except KeyboardInterrupt:
                print(f'interrupted: {kept}' if kept else 'interrupted.', file=sys.stderr)
                return 130  # as shells report it

        return run

    return decorate


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # The error of a loading process is a whole traceback, its last line the reason.
    return lines[-1] if 'Traceback (most recent call last)' in str(error) else ' '.join(lines)


def command_line(tool: str, argv: Sequence[str] | None = None) -> str:
    """The command to call a tool again as it was called, to be written beside its results.

    Args:
        tool: Its path in the repository, such as ``tools/evaluate.py``.
        argv: Its arguments; None: those of this process.
    """
    called = sys.argv[0].split() if sys.argv[0].startswith('uscl ') else ['python', tool]  # as cli.run_tool says
    return shlex.join([*called, *(sys.argv[1:] if argv is None else argv)])


def positive_int(text: str) -> int:
    """Argument type: an integer above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text} should be above 0')
    return value


def positive_float(text: str) -> float:
    """Argument type: a finite number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f'{text} should be a number above 0')
    return value


def fraction(text: str) -> float:
    """Argument type: a number in [0, 1)."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f'{text} should be at least 0 and below 1')
    return value
