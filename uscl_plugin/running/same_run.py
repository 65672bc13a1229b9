"""Whether a command asks for the run that its output folder has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uscl.core.errors import SourceError


def check_same_run(
    out: Path, record: Mapping[str, Any], request: Mapping[str, Any], digest: str, way: str = '', data_way: str = ''
) -> None:
    """Check that what is asked for is the run that a folder has.

    Args:
        out: The folder.
        record: What its config says of how it was made: ``data_digest`` and ``options``.
        request: The options that the result depends on, as now given; ``from_`` is ``--from``.
        digest: Of the data, as they are now.
        way: Another way out than another folder, for the message.
        data_way: The same if the data are other ones.

    Raises:
        SourceError: It is another.
    """
    if record.get('data_digest') != digest:
        what = f'{out} has a run on other data, or these have changed'
        raise SourceError(f'{what}: restore them, choose another --out{data_way or ", or delete it"}.')
    stored = record.get('options') or {}
    other = {key.rstrip('_').replace('_', '-'): stored.get(key) for key in request if stored.get(key) != request[key]}
    others = [f'--{name} {value}' for name, value in other.items()]
    if others:
        raise SourceError(f'{out} has a run with {", ".join(others)}: choose another --out{way}.')
