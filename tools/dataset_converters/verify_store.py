"""Compare all frames of data folders with the checksums that they were written with, such as after a copy.

    python tools/dataset_converters/verify_store.py data/mine

Training does so for each video when it first reads it; converting again redoes what is damaged.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from uscl.core.command_line import as_command
from uscl.core.errors import SourceError
from uscl.core.options import Arg, parse_options
from uscl.data.annotations import read_annotations
from uscl.data.frame_store import damaged_videos, find_stored


@dataclass(frozen=True)
class Options:
    """What the tool is asked for.

    Attributes:
        data: Folders that a converter wrote.
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
        print(f'damaged: {video_id}: {reason}')
    if damaged:
        raise SourceError(
            f'{folder}: {len(damaged)} of {len(entries)} videos are damaged: run the converter again, which redoes '
            f'these, or copy the folder again.',
            exit_code=1,
        )
    print(f'{folder}: {len(entries)} videos are as they were written.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
