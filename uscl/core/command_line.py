"""What commands have in common: errors, and the line that was typed."""

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
