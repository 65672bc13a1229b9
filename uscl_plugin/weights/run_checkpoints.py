"""The newest undamaged checkpoint of a run."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from uscl.core.atomic_files import TEMPORARY

from .checkpoint_error import CheckpointError
from .plain_checkpoints import load_plain_checkpoint

# Keys that MMEngine's Runner.resume reads without checking that they exist.
_NEEDED = ('meta', 'state_dict', 'message_hub')


def newest_checkpoint(folder: str | Path, template: str = 'epoch_{}.pth') -> tuple[Path | None, list[str]]:
    """Find the most recently saved checkpoint from which a run can be resumed.

    The time stored in it decides, then its number: an earlier run in the same folder may have got further. MMEngine's
    ``last_checkpoint`` file is not used, because it may be empty or name a damaged file.

    Args:
        folder: Folder of the checkpoints.
        template: Name template, as in MMEngine's ``CheckpointHook.filename_tmpl``.

    Returns:
        The checkpoint, None if none is usable; and one sentence for every skipped file, with its path and the reason.
    """
    whole, skipped = [], []
    for path in numbered_checkpoints(folder, template):
        try:
            time = str(load_resumable(path)['meta'].get('time', ''))  # 20241231_235959
            whole.append((time, path))
        except (CheckpointError, OSError) as error:
            skipped.append(str(error))
    return max(whole, key=lambda found: found[0])[1] if whole else None, skipped  # the first if tied


def none_whole(folder: str | Path, skipped: Sequence[str]) -> str:
    """Message for a run that has checkpoints, none of which :func:`newest_checkpoint` can use."""
    return (
        f'none of the {len(skipped)} checkpoints in {folder} can be resumed from, first: {skipped[0]} To start '
        f'again, delete them or write to another folder.'
    )


def numbered_checkpoints(folder: str | Path, template: str = 'epoch_{}.pth') -> list[Path]:
    """The checkpoints in a folder, highest number first."""
    before, _, after = template.partition('{}')
    pattern = re.compile(re.escape(before) + r'(\d+)' + re.escape(after))
    found = [(int(match[1]), path) for path in Path(folder).glob('*') if (match := pattern.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def load_resumable(path: str | Path) -> dict:
    """Read a run's checkpoint, which is complete, unchanged to the last byte, and free of code.

    Raises:
        CheckpointError: It is truncated, changed, contains code, or does not belong to a run; the message names it.
        OSError: It cannot be read.
    """
    checkpoint = load_plain_checkpoint(path)
    missing = [key for key in _NEEDED if not isinstance(checkpoint.get(key), Mapping)]
    if missing:
        raise CheckpointError(
            f'{path} is not the checkpoint of a run, because it has no {", ".join(missing)}: use load_from instead.'
        )
    return checkpoint


def remove_leftovers(folder: str | Path, template: str = 'epoch_{}.pth') -> None:
    """Remove partially written checkpoints left by killed processes."""
    pattern = TEMPORARY.format(name=template.replace('{}', '*'), key='*')
    for leftover in Path(folder).glob(pattern):
        leftover.unlink(missing_ok=True)
