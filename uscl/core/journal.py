"""A file to which records are added, one a line, and which a killed process leaves readable."""

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """Records in a file of JSON lines.

    A record counts once its line is whole and on the disk. What a killed process left of a line is dropped when the
    journal is opened.

    Args:
        path: The file; created with the first record. Its folder exists. One process at a time may open it.

    Attributes:
        records: Those that the file held when it was opened, in their order.

    Raises:
        ValueError: A whole line is no JSON object: something else has written to the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = path.read_bytes() if path.exists() else b''
        whole = content[: content.rfind(b'\n') + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        self.records: list[dict[str, Any]] = []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict):
                raise ValueError(
                    f'{path}, line {number}, is damaged: choose another output folder, or remove the line.'
                )
            self.records.append(record)

    def add(self, record: dict[str, Any]) -> None:
        """Add a record, of plain values, and wait until it is on the disk."""
        with self.path.open('ab') as file:
            file.write(json.dumps(record).encode('ascii') + b'\n')
            file.flush()
            os.fsync(file.fileno())
