"""Show what a split of frames does: write a data folder in which every frame is a video of its own, of no patient.

    python tools/benchmarks/split_by_frame.py data/pocus work_dirs/pocus_frames --frames-per-video 8
    python tools/evaluate.py random --data work_dirs/pocus_frames --group-by video --allow-leak --out work_dirs/leak

Frames of one video then are on both sides of each fold, and the figures are far too good.
"""

import argparse
import sys
from collections.abc import Iterator

from uscl.core.command_line import positive_int
from uscl.data.folder_writer import write_data_folder
from uscl.data.frame_ids import frame_id
from uscl.data.video_folder import VideoFolder
from uscl_plugin.datasets.video_frames import spread_evenly


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', metavar='DATA', help='folder that a converter wrote')
    parser.add_argument('out', metavar='OUT', help='folder to write')
    parser.add_argument('--frames-per-video', type=positive_int, metavar='N', help='at most so many, spread evenly')
    args = parser.parse_args(argv)
    folder = VideoFolder(args.data)
    frames = list(_frames(folder, args.frames_per_video))
    write_data_folder(args.out, frames, classes=folder.classes)
    print(f'{args.out}: {len(frames)} videos of one frame each')
    return 0


def _frames(folder: VideoFolder, frames_per_video: int | None) -> Iterator[dict]:
    for index, entry in enumerate(folder.entries):
        if entry['label'] is not None:
            for k in spread_evenly(entry['num_frames'], frames_per_video):
                name = frame_id(entry['video_id'], k)
                yield {'video_id': name, 'label': entry['label'], 'frames': folder.load(index, [k])}


if __name__ == '__main__':
    sys.exit(main())
