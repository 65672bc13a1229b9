"""Compare ways to store frames: the memory-mapped store, folders of PNG and JPEG, LMDB (if installed).

Each stores the same frames of a data folder (JPEG with quality 95, which is lossy; LMDB with decoded pixels, like the
store) and is asked for three random frames of a random video. Reading alternates between them. Sizes are file sizes;
"open" is the number of files that a process has open after reading from every video.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import mmcv
import numpy as np
from rich.console import Console
from rich.table import Table

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.data.video_folder import VideoFolder

Reader = Callable[[int, int], np.ndarray]  # video, frame → pixels
QUALITY = 95


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        data: Folder written by a converter.
        samples: Reads of three frames per round.
        repeats: Number of timed rounds.
        json: Also write the results to this file.
    """

    data: Annotated[str, Arg('DIR', positional=True)]
    samples: Annotated[int, Arg(at_least=1)] = 500
    repeats: Annotated[int, Arg(at_least=1)] = 5
    json: Annotated[str | None, Arg('FILE')] = None


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    folder = VideoFolder(options.data)
    lengths = [entry['num_frames'] for entry in folder.entries]
    with tempfile.TemporaryDirectory() as scratch:
        ways = make_ways(folder, Path(scratch))
        times = {name: [] for name in ways}
        for repeat in range(options.repeats + 1):  # the first round warms up
            for name, (_, read) in ways.items():
                seconds = time_reads(read, lengths, options.samples, repeat)
                if repeat:
                    times[name].append(1e6 * seconds)
        rows = {}
        for name, (size, read) in ways.items():
            before = num_open()
            for video in range(len(lengths)):
                read(video, 0)
            rows[name] = {'bytes': size, 'microseconds': times[name], 'open': num_open() - before + (name in HELD_OPEN)}
    show(rows, len(lengths), sum(lengths))
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')
    return 0


HELD_OPEN = ('store', 'LMDB')  # one file each, opened (and mapped) before counting


def make_ways(folder: VideoFolder, scratch: Path) -> dict[str, tuple[int, Reader]]:
    """Size and reader of each way; ``scratch`` receives the files of all but the store."""
    videos = [folder[index]['frames'] for index in range(len(folder))]
    png, jpeg = (
        [[scratch / f'{v}-{k}{suffix}' for k in range(len(video))] for v, video in enumerate(videos)]
        for suffix in ('.png', '.jpg')
    )
    for paths in (png, jpeg):
        for names, video in zip(paths, videos, strict=True):
            for path, frame in zip(names, video, strict=True):
                cv2.imwrite(str(path), frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])

    def size(paths: list[list[Path]]) -> int:
        return sum(path.stat().st_size for group in paths for path in group)

    def image_reader(paths: list[list[Path]]) -> Reader:
        return lambda v, k: mmcv.imfrombytes(paths[v][k].read_bytes(), flag='unchanged')

    def from_store(v: int, k: int) -> np.ndarray:
        return folder[v]['frames'][k].copy()  # copying touches every pixel

    ways: dict[str, tuple[int, Reader]] = {
        'store': (sum(video.nbytes for video in videos), from_store),
        'PNG': (size(png), image_reader(png)),
        f'JPEG {QUALITY}': (size(jpeg), image_reader(jpeg)),
    }
    try:
        import lmdb
    except ImportError:
        print('LMDB is skipped: pip install lmdb', file=sys.stderr)
        return ways
    total = sum(video.nbytes for video in videos)
    environment = lmdb.open(str(scratch / 'frames.lmdb'), subdir=False, map_size=2 * total + (64 << 20), lock=False)
    with environment.begin(write=True) as write:
        for v, video in enumerate(videos):
            for k, frame in enumerate(video):
                write.put(f'{v}/{k}'.encode(), frame.tobytes())
    transaction = environment.begin(buffers=True)

    def from_lmdb(v: int, k: int) -> np.ndarray:
        return np.frombuffer(transaction.get(f'{v}/{k}'.encode()), np.uint8).reshape(videos[v].shape[1:]).copy()

    ways['LMDB'] = ((scratch / 'frames.lmdb').stat().st_blocks * 512, from_lmdb)
    return ways


def time_reads(read: Reader, lengths: list[int], samples: int, seed: int) -> float:
    """Seconds to read three frames of a video, averaged over ``samples``."""
    rng = np.random.default_rng(seed)
    wanted = [(v, rng.integers(lengths[v], size=3).tolist()) for v in rng.integers(len(lengths), size=samples)]
    began = time.perf_counter()
    for video, frames in wanted:
        for k in frames:
            read(int(video), k)
    return (time.perf_counter() - began) / samples


def num_open() -> int:
    """Number of files that this process has open (Linux; 0 elsewhere)."""
    folder = Path('/proc/self/fd')
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def show(rows: dict[str, dict], num_videos: int, num_frames: int) -> None:
    """Print the table."""
    table = Table(title=f'{num_videos} videos, {num_frames} frames')
    for column in ('', 'three frames, µs', 'size, MB', 'files', 'open'):
        table.add_column(column, justify='right' if column else 'left')
    for name, row in rows.items():
        times = row['microseconds']
        spread = f'{statistics.median(times):.0f} ({min(times):.0f} to {max(times):.0f})'
        files = '1' if name in HELD_OPEN else str(num_frames)
        table.add_row(name, spread, f'{row["bytes"] / 1e6:.0f}', files, str(row['open']))
    Console().print(table)


if __name__ == '__main__':
    sys.exit(main())
