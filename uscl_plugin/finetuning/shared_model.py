"""The file of a final model as it is shared: without the folders of the machine that trained it."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from uscl.core.atomic_files import write_atomically
from uscl.core.config_literals import read_literals
from uscl_plugin.weights.checkpoint_files import save_reproducibly
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

_OF_A_RUN = ('message_hub', 'optimizer', 'param_schedulers', 'ema_state_dict')  # to go on with it
_ABSOLUTE = re.compile(r'[/\\]|[A-Za-z]:[/\\]')


def write_shared_model(source: Path, out: Path, left_out: Collection[str] = ()) -> None:
    """Write the checkpoint of a run without what only the run needs, and with names of files in place of their paths.

    Args:
        source: The checkpoint.
        out: The file to write.
        left_out: Keys of the config to leave out, such as the record of the command line.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        ValueError: Its config does not hold plain values.
    """
    checkpoint = {key: value for key, value in load_plain_checkpoint(source).items() if key not in _OF_A_RUN}
    own = {key: value for key, value in checkpoint['meta'].items() if key != 'uscl'}  # has signatures, but no paths
    meta = checkpoint['meta'] | _without_folders(own)
    values = {key: value for key, value in read_literals(meta['cfg']).items() if key not in left_out}
    checkpoint['meta'] = {**meta, 'cfg': Config(_without_folders(values)).pretty_text}
    write_atomically(out, lambda temporary: save_reproducibly(checkpoint, temporary))


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_without_folders, value))
    if isinstance(value, str) and _ABSOLUTE.match(value):
        return re.split(r'[/\\]', value.rstrip('/\\'))[-1]
    return value
