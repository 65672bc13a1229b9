"""What commands have in common: types of arguments, errors, and the line that was typed."""

import argparse
import math
import shlex
import sys
from collections.abc import Callable, Sequence

from .errors import SourceError


def run_command(command: Callable[[], int]) -> int:
    """Run a tool's work; errors that the user can mend become one line on stderr and an exit code."""
    try:
        return command()
    except SourceError as error:
        print(f'error: {error}', file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print('interrupted: what is finished is kept, run the same command again.', file=sys.stderr)
        return 130  # as shells report Ctrl-C


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
