"""Start the ``uscl`` command without importing the plugin: that takes seconds, and fails where ``uscl doctor`` helps.

A console script that names ``uscl_plugin.cli`` would execute ``uscl_plugin/__init__.py``, which imports PyTorch and the
hosts. Therefore this module lies outside, and is all that does.
"""

import sys
from importlib.util import find_spec, module_from_spec


def main() -> int:
    """Run the command line; returns the exit status."""
    spec = None if 'uscl_plugin' in sys.modules else find_spec('uscl_plugin')
    if spec is not None:  # made, but not executed: uscl_plugin.cli.load_plugin does that where a tool needs it
        sys.modules['uscl_plugin'] = module_from_spec(spec)
    from uscl_plugin.cli import main as run

    return run()


if __name__ == '__main__':
    sys.exit(main())
