"""What this package warns about during a run."""

import logging
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[1])


class WarningCollector(logging.Handler):
    """Collect the warnings that this package logs, each once, and not those of the hosts.

    Args:
        logger: Logger of a run.

    Attributes:
        messages: The texts, in order.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        message = ' '.join(record.getMessage().split())
        if record.pathname.startswith(_PACKAGE) and message not in self.messages:
            self.messages.append(message)
