"""Compare all frames of data folders with the checksums that they were written with, such as after a copy.

    python tools/dataset_converters/verify_store.py data/mine

Training does so for each video when it first reads it; converting again redoes what is damaged.
"""

import argparse
import sys
from pathlib import Path

from uscl.core.command_line import as_command
from uscl.core.errors import SourceError
from uscl.data.annotations import read_annotations
from uscl.data.frame_store import damaged_videos, find_stored


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', nargs='+', metavar='DIR', help='folder that a converter wrote')
    args = parser.parse_args(argv)
    return max([_verify(Path(folder).expanduser()) for folder in args.data])


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
