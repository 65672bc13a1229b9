"""Run a script with the replacement installed: ``python -m uscl_plugin.compat.mmcv_ops SCRIPT ARGS…``."""

import runpy
import sys
from pathlib import Path

USAGE = 'usage: python -m uscl_plugin.compat.mmcv_ops SCRIPT [arguments of the script]'


def main(argv: list[str]) -> int:
    """Run ``argv[0]`` as Python would; the status is 1 or 2, with one line on standard error, if that is impossible."""
    if not argv or argv[0] in ('-h', '--help'):
        print(USAGE, file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    script = Path(argv[0])
    if not script.is_file():
        print(f'error: {script} does not exist: pass the path of a Python script.', file=sys.stderr)
        return 1
    sys.argv = argv
    sys.path[0] = str(script.resolve().parent)
    runpy.run_path(str(script), run_name='__main__')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
