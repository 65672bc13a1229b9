"""Options of commands: dataclasses without code, so that ``--help`` and a wrong option need no host."""
