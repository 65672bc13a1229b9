"""The newest checkpoint of a run that still loads."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from uscl.core.atomic_files import TEMPORARY

from .checkpoint_error import CheckpointError
from .plain_checkpoints import load_plain_checkpoint

# What MMEngine's Runner.resume reads without asking whether it is there.
_NEEDED = ('meta', 'state_dict', 'message_hub')


def newest_checkpoint(folder: str | Path, template: str = 'epoch_{}.pth') -> tuple[Path | None, list[str]]:
    """Find the checkpoint that was saved last of those that a run can be resumed from.

    The time that it holds decides, then its number: an earlier run in the same folder may have got further. What
    MMEngine writes to ``last_checkpoint`` is not asked: it may be empty, or name a file that does not load.

    Args:
        folder: Of the checkpoints.
        template: Their names, as of MMEngine's ``CheckpointHook.filename_tmpl``.

    Returns:
        The checkpoint, None if none loads; and for every file that does not one sentence with its path that says why.
    """
    whole, skipped = [], []
    for path in numbered_checkpoints(folder, template):
        try:
            whole.append((check_resumable(path), path))
        except (CheckpointError, OSError) as error:
            skipped.append(str(error))
    return max(whole, key=lambda found: found[0])[1] if whole else None, skipped  # the first of equals


def none_whole(folder: str | Path, skipped: Sequence[str]) -> str:
    """What to tell a user whose run has checkpoints, of which :func:`newest_checkpoint` finds none that loads."""
    return (
        f'none of the {len(skipped)} checkpoints in {folder} can be resumed from, first: {skipped[0]} To start anew, '
        f'delete them or write to another folder.'
    )


def numbered_checkpoints(folder: str | Path, template: str = 'epoch_{}.pth') -> list[Path]:
    """The checkpoints in a folder, from the highest number down."""
    before, _, after = template.partition('{}')
    pattern = re.compile(re.escape(before) + r'(\d+)' + re.escape(after))
    found = [(int(match[1]), path) for path in Path(folder).glob('*') if (match := pattern.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def check_resumable(path: str | Path) -> str:
    """Check that a checkpoint of a run is whole, to the last byte, and executes nothing.

    Returns:
        When it was saved, as MMEngine writes it: ``20241231_235959``.

    Raises:
        CheckpointError: It is cut off, changed, carries code, or is no checkpoint of a run; names it.
        OSError: It cannot be read.
    """
    checkpoint = load_plain_checkpoint(path)
    missing = [key for key in _NEEDED if key not in checkpoint]
    if missing:
        raise CheckpointError(
            f'{path} is not the checkpoint of a run, it has no {", ".join(missing)}: load it instead.'
        )
    try:  # torch does not compare the checksums that it writes
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except OSError:
        raise
    except Exception as error:  # zipfile's kinds of damage have nothing in common
        raise CheckpointError(f'{path} is damaged ({error}): copy it again, or go on from an earlier one.') from error
    if damaged:
        raise CheckpointError(
            f'{path} is damaged (the checksum of {damaged} is wrong): copy it again, or go on from an earlier one.'
        )
    return str(checkpoint['meta'].get('time', ''))


def remove_leftovers(folder: str | Path, template: str = 'epoch_{}.pth') -> None:
    """Remove what killed processes have left of checkpoints that they were writing."""
    pattern = TEMPORARY.format(name=template.replace('{}', '*'), pid='*')
    for leftover in Path(folder).glob(pattern):
        leftover.unlink(missing_ok=True)
