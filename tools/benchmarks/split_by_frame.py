"""Show the effect of splitting by frame: write a data folder in which every frame is a separate video without patient.

    python tools/benchmarks/split_by_frame.py data/pocus work_dirs/pocus_frames --frames-per-video 8
    python tools/evaluate.py random --data work_dirs/pocus_frames --group-by video --allow-leak --out work_dirs/leak

Frames of one video are then on both sides of each fold, and the results are heavily inflated.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.data.folder_writer import write_data_folder
from uscl.data.frame_ids import frame_id
from uscl.data.video_folder import VideoFolder
from uscl_plugin.datasets.video_frames import spread_evenly


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        data: Folder written by a converter.
        out: Output folder.
        frames_per_video: Maximum number of frames per video, evenly spaced (default: all).
    """

    data: Annotated[str, Arg('DATA', positional=True)]
    out: Annotated[str, Arg('OUT', positional=True)]
    frames_per_video: Annotated[int | None, Arg('N', at_least=1)] = None


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    folder = VideoFolder(options.data)
    frames = list(_frames(folder, options.frames_per_video))
    write_data_folder(options.out, frames, classes=folder.classes)
    print(f'{options.out}: {len(frames)} videos of one frame each')
    return 0


def _frames(folder: VideoFolder, frames_per_video: int | None) -> Iterator[dict]:
    for index, entry in enumerate(folder.entries):
        if entry['label'] is not None:
            for k in spread_evenly(entry['num_frames'], frames_per_video):
                name = frame_id(entry['video_id'], k)
                yield {'video_id': name, 'label': entry['label'], 'frames': folder.load(index, [k])}


if __name__ == '__main__':
    sys.exit(main())
