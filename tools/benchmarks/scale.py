"""Measure what grows with the number of videos: time, memory and files of a data set from hundreds to 100,000 videos.

Each data set is made up: an annotation and an index as a converter writes them, and a store of black frames that is a
file with holes. Every number of videos is measured in a process of its own. Verifying reads every byte; of a large
store, the first videos are verified and the time is multiplied. The leak check compares 252 clips with those of a
checkpoint, of which the first are compared. Seconds are of the processor, so that other work on the machine matters
little, except for writing and the first batch, for which other processes work.
"""

import base64
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from uscl.checks.seen_clips import find_copies
from uscl.checks.seen_data import seen_of
from uscl.convert.privacy.pseudonyms import Pseudonyms
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.core.tables import markdown, print_table
from uscl.data.annotations import read_annotations, write_annotations
from uscl.data.fingerprints import SIDE, thumbnail
from uscl.data.frame_shards import FrameShards
from uscl.data.frame_store import StoredVideo, StoreIndex, read_index, seal, stored_damage, write_index
from uscl.data.signatures import FRAMES
from uscl.reports.figures import new_figure, save_picture, tidy
from uscl_plugin.datasets.transforms import DrawViews, LoadVideoFrames, PackFrames, SampleVideoFrames, collate_frames
from uscl_plugin.datasets.video_clusters import VideoClusterDataset

SHAPE = (22, 256, 256)  # of a clip of COVID-BLUES at 3 frames a second
STEPS, BATCH = 8, 32
PICTURES = 252  # clips that the leak check compares with those of a checkpoint
ROWS = {
    'annotation': 'MB',
    'index': 'MB',
    'written in': 's',
    'data set ready': 's',
    'first batch': 's',
    'verified': 's',
    'provenance': 's',
    'in a checkpoint': 'MB',
    'leak check': 's',
    'peak of the process': 'MB',
    'a worker, own': 'MB',
    'all processes': 'MB',
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        videos: Numbers of videos.
        workers: Loading processes.
        verified: Videos that are verified; the time is for all.
        compared: Clips of a checkpoint that are compared in the leak check; the time is for all.
        scratch: Folder for the made-up data, some hundred MB at 100,000 videos.
        json: Also write the results to this file.
        out: Also draw them.
    """

    videos: Annotated[list[int], Arg('N', positional=True)]
    workers: Annotated[int, Arg(at_least=1)] = 2
    verified: Annotated[int, Arg('N', at_least=1)] = 3000
    compared: Annotated[int, Arg('N', at_least=1)] = 100_000
    scratch: Annotated[str | None, Arg('DIR')] = None
    json: Annotated[str | None, Arg('FILE')] = None
    out: Annotated[str | None, Arg('PNG')] = None


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    results = {}
    for count in options.videos:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            task = json.dumps([scratch, count, options.workers, options.verified, options.compared])
            done = subprocess.run([sys.executable, __file__, '--measure', task], stdout=subprocess.PIPE, check=True)
            results[count] = json.loads(done.stdout.splitlines()[-1])
    header = ('', *(f'{count:,}' for count in results))
    rows = [(f'{name}, {unit}', *(f'{found[name]:.3g}' for found in results.values())) for name, unit in ROWS.items()]
    print_table(header, rows)
    print(markdown(header, rows))
    if options.json:
        write_text(options.json, json.dumps(results, indent=1) + '\n')
    if options.out:
        draw(results, options.out)
    return 0


def write_videos(root: Path, count: int) -> None:
    """Write a data folder of black videos, with ids, patients, digests and signatures as long as real ones."""
    rng = np.random.default_rng(0)
    size = int(np.prod(SHAPE))
    black = zlib.crc32(bytes(size))
    settings = {'fps': 3.0, 'size': 256, 'color': 'auto', 'mask_tolerance': None, 'min_frames': 8}
    entries, videos = [], {}
    for k in range(count):
        name = f'hospital_{k % 7}/study_{k // 40:05d}/clip_{k:06d}.mp4'
        known = {
            'sha256': rng.bytes(32).hex(),
            'signature': base64.b64encode(rng.normal(0, 30, FRAMES * 255).clip(-127, 127).astype(np.int8)).decode(),
        }
        shared = {'patient_id': f'p-{k // 3:016x}', 'label': 'abcd'[k % 4], 'split': 'train', 'source': name}
        facts = {'fps': 3.0, 'assumed': [], 'rescaled': []}
        entries.append({'video_id': name, 'num_frames': SHAPE[0], **shared, **known, **facts})
        found = {'converter_version': 4, 'settings': settings, 'stored_as': 'gray', 'frames_decoded': 180}
        found |= {'source': {'bytes': 190_000, 'mtime_ns': 1795894842589226629, 'sha256': known['sha256']}}
        found |= {'signature': known['signature'], 'frame_rate': 25.0}
        videos[name] = StoredVideo('0.safetensors', k * size, (SHAPE,), seal(black, name, (SHAPE,)), found)
    write_annotations(root / 'annotations.json', entries, list('abcd'), settings=settings)
    write_index(root, StoreIndex({'0.safetensors': count * size}, videos))
    with (root / 'store/0.safetensors').open('wb') as file:
        file.truncate(count * size)


def measure(root: Path, count: int, workers: int, verified: int, compared: int) -> dict[str, float]:
    """Measure one number of videos in this process, which has done nothing before; see :data:`ROWS`."""
    found: dict[str, float] = {}

    def timed(
        name: str, function: Callable[[], Any], times: float = 1, clock: Callable[[], float] = time.process_time
    ) -> Any:
        began = clock()
        result = function()
        found[name] = (clock() - began) * times
        return result

    # In a child, so that what writing takes does not count as memory of the data set.
    child = multiprocessing.get_context('fork').Process(target=write_videos, args=(root, count))
    child.start()
    timed('written in', child.join, clock=time.perf_counter)
    found['annotation'] = (root / 'annotations.json').stat().st_size / 1e6
    found['index'] = sum(file.stat().st_size for file in (root / 'store').glob('index*')) / 1e6
    pipeline = [SampleVideoFrames(3), LoadVideoFrames('unchanged'), DrawViews(64), PackFrames()]
    repeats = -(-STEPS * BATCH // count)
    dataset = timed(
        'data set ready', lambda: VideoClusterDataset(str(root), pipeline=pipeline, samples_per_video=repeats)
    )
    loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=workers, collate_fn=collate_frames)
    batches = iter(loader)
    timed('first batch', batches.__next__, clock=time.perf_counter)
    for _ in range(STEPS - 1):
        next(batches)
    processes = [worker.pid for worker in batches._workers]
    found['a worker, own'] = max(memory(pid, 'Private_Dirty') for pid in processes)
    found['all processes'] = sum(memory(pid, 'Pss_Anon') for pid in [os.getpid(), *processes])
    found['peak of the process'] = peak()
    del batches

    few = dict(list(read_index(root, with_facts=False).videos.items())[:verified])
    shards = FrameShards(root)
    times = count / len(few)
    damage = timed('verified', lambda: [stored_damage(shards, name, video) for name, video in few.items()], times)
    assert not any(damage)
    key = Pseudonyms(b'0123456789abcdef0123456789abcdef')
    timed('provenance', lambda: seen_of(dataset.provenance()['entries'], key))
    entries = read_annotations(root / 'annotations.json')['data_list']
    seen = seen_of(entries, key)
    torch.save({'seen': seen.as_plain()}, root / 'meta.pth')
    found['in a checkpoint'] = (root / 'meta.pth').stat().st_size / 1e6
    signatures = sorted(seen.signatures)[:compared]
    clips = [np.stack(list(pictures(seed))) for seed in range(PICTURES)]
    timed('leak check', lambda: find_copies(clips, signatures), len(seen.signatures) / len(signatures))
    return found


def pictures(seed: int) -> Iterator[np.ndarray]:
    """Thumbnails of a made-up clip of another data set: smooth noise that moves, (SIDE, SIDE) uint8 each."""
    rng = np.random.default_rng(seed)
    fixed, moving = rng.integers(0, 256, (2, 12, 12), np.uint8)
    for share in np.linspace(0, 0.6, SHAPE[0]):
        yield thumbnail(np.kron((1 - share) * fixed + share * moving, np.ones((SIDE // 6,) * 2)).astype(np.uint8))


def memory(pid: int, *kinds: str) -> float:
    """Megabytes of a process by kind, see proc(5), ``smaps_rollup``; what has no file behind it."""
    lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(kinds)) / 1024


def peak() -> float:
    """Most memory of this process so far, in megabytes."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM')) / 1024


def draw(results: dict[int, dict[str, float]], path: str) -> None:
    """Draw seconds and megabytes against the number of videos, on logarithmic axes."""
    figure = new_figure(9, 4)
    for panel, (unit, title) in enumerate({'s': 'seconds', 'MB': 'megabytes'}.items(), 1):
        axes = figure.add_subplot(1, 2, panel)
        for name in (name for name, of in ROWS.items() if of == unit):
            axes.loglog(list(results), [found[name] for found in results.values()], marker='.', label=name)
        tidy(axes, title, 'videos', grid='both')
        axes.xaxis.set_major_formatter('{x:,.0f}')
        axes.yaxis.set_major_formatter('{x:g}')
        axes.legend(fontsize='small', frameon=False, loc='center left', bbox_to_anchor=(1, 0.5))
    save_picture(figure, path, dpi=80)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--measure']:
        folder, *numbers = json.loads(sys.argv[2])
        print(json.dumps(measure(Path(folder), *numbers)))
    else:
        sys.exit(main())
