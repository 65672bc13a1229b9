"""Compare `uscl convert clips` with the FFmpeg command on the same clips: time, processor time, frames.

FFmpeg decodes to grey frames of the same rate and size, written as raw pixels, in three ways: a command for each clip,
a command for each core with its share of the clips, and one command with as many threads as cores. The last two start
fewer processes than anybody would who wants a file for each clip, and need clips of one codec and size. Ours is the
whole command: it also compares every frame's container, looks for colour, hashes the clips, and writes the report.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from instruments.spread import Spread, paired_ratios
from uscl.clips.media_suffixes import CLIP_SUFFIXES
from uscl.core.command_line import as_command
from uscl.core.errors import SourceError
from uscl.core.options import Arg, parse_options
from uscl.core.tables import print_table
from uscl.data.frame_store import read_index

OURS = 'uscl convert clips'


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        src: Folder of video files.
        ffmpeg: The command to compare with.
        workers: Processes at once, or threads of the one command (default: one per core).
        size: Shorter side of a frame in pixels.
        fps: Frames kept per second.
        rounds: Times that every way is measured, in turns.
        json: Also write the results to this file.
    """

    src: Annotated[str, Arg('SRC', positional=True)]
    ffmpeg: str = 'ffmpeg'
    workers: Annotated[int | None, Arg('N', at_least=1)] = None
    size: Annotated[int, Arg(at_least=1)] = 256
    fps: Annotated[float, Arg(above=0)] = 3.0
    rounds: Annotated[int, Arg(at_least=1)] = 3
    json: Annotated[str | None, Arg('FILE')] = None


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    workers = options.workers or os.cpu_count() or 1
    clips = sorted(path.resolve() for path in Path(options.src).rglob('*') if path.suffix.lower() in CLIP_SUFFIXES)
    if not clips:
        raise SourceError(f'{options.src} holds no video: give a folder of clips.')
    ways = {
        'a command a clip': ([[clip] for clip in clips], 1),
        'a command a core': ([clips[k::workers] for k in range(workers)], 1),
        'one command': ([clips], workers),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in (OURS, *ways)}
    frames = {}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, '-m', 'uscl', 'convert', 'clips', options.src, '--out', f'{scratch}/data']
            command += ['--workers', str(workers), '--size', str(options.size), '--fps', str(options.fps)]
            seconds[OURS].append(timed([command], 1))
            frames[OURS] = sum(video.num_frames for video in read_index(f'{scratch}/data').videos.values())
        for name, (shares, threads) in ways.items():
            with tempfile.TemporaryDirectory() as scratch:
                seconds[name].append(timed(decoding(options, shares, threads, Path(scratch)), workers))
                size = sum(path.stat().st_size for path in Path(scratch).glob('*.gray'))
                frames[name] = round(size / options.size**2)
    show(seconds, frames, len(clips), workers)
    if options.json:
        facts = {'workers': workers, 'clips': len(clips), 'frames': frames, 'seconds': seconds}
        Path(options.json).write_text(json.dumps(facts, indent=1) + '\n', encoding='utf-8')
    return 0


def decoding(options: Options, shares: Sequence[Sequence[Path]], threads: int, scratch: Path) -> Iterator[list[str]]:
    """A command of FFmpeg for each share of the clips; raw frames go to ``scratch``."""
    # The shorter side gets the size; unlike ours, smaller clips are enlarged.
    size = f'scale={options.size}:{options.size}:force_original_aspect_ratio=increase:flags=area'
    for number, share in enumerate(shares):
        listed = scratch / f'{number}.txt'
        quoted = (str(clip).replace("'", r"'\''") for clip in share)
        listed.write_text(''.join(f"file '{clip}'\n" for clip in quoted), encoding='utf-8')
        source = ['-threads', str(threads), '-f', 'concat', '-safe', '0', '-i', str(listed)]
        frames = ['-vf', f'fps={options.fps},{size}', '-pix_fmt', 'gray', '-f', 'rawvideo', f'{scratch}/{number}.gray']
        yield [options.ffmpeg, '-v', 'error', '-nostdin', '-filter_threads', '1', *source, *frames]


def timed(commands: Iterator[list[str]] | Sequence[list[str]], at_once: int) -> tuple[float, float]:
    """Seconds that commands take, ``at_once`` of them in parallel, and their processor seconds."""
    began, before = time.perf_counter(), _processor_seconds()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(_run, commands))
    return time.perf_counter() - began, _processor_seconds() - before


def show(seconds: dict[str, list[tuple[float, float]]], frames: dict[str, int], num_clips: int, workers: int) -> None:
    """Print the table: medians and ranges; how fast ours is compared with each other way, round by round."""
    rows = []
    walls = {name: [wall for wall, _ in rounds] for name, rounds in seconds.items()}
    for name, rounds in seconds.items():
        wall, processor = Spread.of(walls[name]), Spread.of([processor for _, processor in rounds])
        ratio = '' if name == OURS else f'{paired_ratios(walls[name], walls[OURS]).median:.2f}'
        spread = f'{wall.median:.1f} ({wall.min:.1f} to {wall.max:.1f})'
        rows.append((name, spread, f'{processor.median:.1f}', str(frames[name]), ratio))
    print_table(('way', 'seconds', 'processor seconds', 'frames', 'our speed / its speed'), rows)
    print(f'{num_clips} clips, {workers} processes or threads; median (range) of {len(walls[OURS])} rounds.')


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SourceError(
            f'{command[0]} cannot be run ({error.strerror}): install FFmpeg, or give --ffmpeg.'
        ) from error
    if done.returncode:
        raise SourceError(f'{command[0]} failed: {done.stderr.strip()[-300:]}')


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == '__main__':
    sys.exit(main())
