"""Pack the frames of dataset folders into their memory-mapped stores, or check the stores.

The converters do this by themselves. It is for folders whose annotations.json was written otherwise, and for checking
a copy: --verify compares every video's bytes with the checksum that they were written with.

    python tools/dataset_converters/pack_frames.py data/mine
"""

import argparse
import sys
from pathlib import Path

from uscl.convert.videos.conversion_report import print_store
from uscl.convert.videos.video_conversion import pack_with_progress
from uscl.core.command_line import as_command, positive_int
from uscl.core.errors import SourceError
from uscl.data.annotations import read_annotations
from uscl.data.bad_videos import damaged_videos
from uscl.data.frame_store import read_index


@as_command(kept='what is finished is kept, run the same command again.')
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', nargs='+', metavar='DIR', help='folder with an annotations.json')
    parser.add_argument('--verify', action='store_true', help='check the stores, write nothing')
    parser.add_argument('--workers', type=positive_int, metavar='N', help='threads (default: one for every core)')
    args = parser.parse_args(argv)
    return max([_run(Path(folder).expanduser(), args) for folder in args.data])


def _run(folder: Path, args: argparse.Namespace) -> int:
    entries = read_annotations(folder / 'annotations.json')['data_list']
    index = read_index(folder) if args.verify else pack_with_progress(folder, entries, args.workers)
    damaged = damaged_videos(folder) if args.verify else {}
    if index is None:
        raise SourceError(f'{folder} has no frame store: run this tool without --verify.', exit_code=1)
    if damaged:
        for video_id, reason in damaged.items():
            print(f'damaged: {video_id}: {reason}')
        raise SourceError(
            f'{folder}: {len(damaged)} of {len(index.videos)} videos are damaged: copy the store again, or, where the '
            f'image files are there, delete {folder / "store"} and run this tool without --verify.',
            exit_code=1,
        )
    print_store(index, folder)
    return 0


if __name__ == '__main__':
    sys.exit(main())
