"""``python -m uscl`` is the ``uscl`` command."""

import sys

from .cli import main

if __name__ == '__main__':
    sys.exit(main())
