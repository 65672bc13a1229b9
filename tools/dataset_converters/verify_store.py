"""Verify the checksums of all frames in data folders, for example after copying them.

    python tools/dataset_converters/verify_store.py data/mine

Training verifies each video when it first reads it; converting again redoes damaged ones.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from uscl.core.command_line import as_command
from uscl.core.errors import SourceError
from uscl.core.escaping import for_terminal
from uscl.core.options import Arg, parse_options
from uscl.data.annotations import read_annotations
from uscl.data.frame_store import damaged_videos, find_stored


@dataclass(frozen=True)
class Options:
    """Options of the tool.

    Attributes:
        data: Folders written by a converter.
    """

    data: Annotated[list[str], Arg('DIR', positional=True)]


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    return max([_verify(Path(folder).expanduser()) for folder in options.data])


def _verify(folder: Path) -> int:
    try:
        entries = read_annotations(folder / 'annotations.json')['data_list']
        find_stored(folder, entries)
        damaged = damaged_videos(folder)
    except (OSError, ValueError) as error:
        raise SourceError(str(error), exit_code=1) from error
    for video_id, reason in damaged.items():
        print(for_terminal(f'damaged: {video_id}: {reason}'))
    if damaged:
        raise SourceError(
            f'{folder}: {len(damaged)} of {len(entries)} videos are damaged: run the converter again to redo '
            f'them, or copy the folder again.',
            exit_code=1,
        )
    print(f'{folder}: all {len(entries)} videos are intact.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
