"""How fast do others pretrain on the same frames: the released code, Lightly, MMPretrain, stable-pretraining?

Each peer runs its own loop, augmentations, loss and optimiser in a process of its own, on the same frames, with the
same size, batch, ResNet-18, number of loading processes and cores; they take turns. Ours reads its store, the others
JPEG files (quality 95). A pair is two views of a video, or of a frame in the peers made for images.

    python tools/benchmarks/peers.py --data data/covid_blues --released USCL --size 64 --batches 26 --json peers64.json
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from instruments.peer_process import PeerProcess
from instruments.peer_workloads import PEERS, PeerSettings
from instruments.released_workload import write_jpeg_folders
from instruments.spread import Spread, paired_ratios
from instruments.throughput_report import machine_facts, spread_text
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command, command_line
from uscl.core.options import Arg, parse_options
from uscl.core.tables import markdown
from uscl.data.synthetic_videos import write_synthetic_videos
from uscl.data.video_folder import VideoFolder

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'uscl' / 'uscl_resnet18_1xb32-300e_us4-224px_device-aug.py'


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        peers: What to time; the others are compared with the first.
        python: Interpreter of a peer that is installed elsewhere, as NAME=PATH.
        released: Clone of the authors' code, for the peer of that name.
        config: Config of ours.
        data: Folder written by a converter (default: synthetic clips).
        size: Side length of a view in pixels.
        batch_size: Pairs per batch.
        workers: Number of loading processes of each peer.
        starts: How often a peer is started to time its first step.
        rounds: How often the peers take turns.
        minutes: Begin no further round that would end after this time.
        batches: Batches in a measurement.
        figures: What to time: loader with preprocessor, network on one batch, both together.
        videos: Number of synthetic clips.
        frames: Frames per synthetic clip.
        frame_size: Side length of synthetic clips in pixels.
        json: Also write the results to this file.
    """

    peers: Annotated[list[str], Arg('NAME', choices=tuple(PEERS))] = field(
        default_factory=lambda: ['ours', 'lightly', 'mmpretrain']
    )
    python: Annotated[list[str], Arg('NAME=PATH')] = field(default_factory=list)
    released: Annotated[str | None, Arg('PATH')] = None
    config: Annotated[str, Arg('CONFIG')] = str(CONFIG)
    data: Annotated[str | None, Arg('DIR')] = None
    size: Annotated[int, Arg('PX', at_least=1)] = 224
    batch_size: Annotated[int, Arg(at_least=2)] = 32
    workers: Annotated[int, Arg('N', at_least=0)] = 2
    starts: Annotated[int, Arg(at_least=1)] = 3
    rounds: Annotated[int, Arg(at_least=1)] = 5
    minutes: Annotated[float | None, Arg(above=0)] = None
    batches: Annotated[int, Arg(at_least=1)] = 2
    figures: list[Literal['loader_preprocessor', 'network', 'end_to_end']] = field(
        default_factory=lambda: ['end_to_end']
    )
    videos: Annotated[int, Arg(at_least=1)] = 64
    frames: Annotated[int, Arg(at_least=1)] = 22
    frame_size: Annotated[int, Arg(at_least=1)] = 256
    json: Annotated[str | None, Arg('FILE')] = None


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    if 'released' in options.peers and options.released is None:
        raise ValueError('the peer named released needs --released PATH.')
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(options, Path(scratch))
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    result = {'command': command_line('tools/benchmarks/peers.py', argv), **machine_facts(device), **found}
    print(peers_table(result))
    if options.json is not None:
        write_text(options.json, json.dumps(result, indent=1) + '\n')
        print(f'wrote {options.json}')
    return 0


def measure(options: Options, scratch: Path) -> dict[str, Any]:
    """Start the peers and time them in turn.

    Returns:
        The settings that all share, and by peer: ``versions``, ``first_step_seconds``, ``peak_memory_bytes`` of the
        process and its workers, ``pairs_per_second`` by figure, and ``ratio``, by which the first peer is faster.
    """
    start = time.monotonic()
    interpreters = dict(entry.split('=', 1) for entry in options.python)
    data = options.data or write_synthetic_videos(scratch / 'clips', options.videos, options.frames, options.frame_size)
    videos = [entry['video_id'] for entry in VideoFolder(data).entries]
    settings = PeerSettings(
        data=str(data),
        frames=str(write_jpeg_folders(data, videos, scratch / 'frames')),
        size=options.size,
        batch_size=options.batch_size,
        workers=options.workers,
        config=options.config,
        released=options.released,
    )
    found: dict[str, dict[str, Any]] = {name: {'first_step_seconds': []} for name in options.peers}
    running: dict[str, PeerProcess] = {}
    try:
        for _ in range(options.starts):
            for name in options.peers:
                if name in running:
                    running.pop(name).close()
                python = interpreters.get(name, sys.executable)
                running[name] = PeerProcess(name, asdict(settings), scratch / f'{name}.log', python)
                found[name]['first_step_seconds'].append(running[name].first_step)
                found[name]['versions'] = running[name].versions
        rates = _time_in_turn(running, options, start)
        for name, peer in running.items():
            found[name]['peak_memory_bytes'] = peer.peak_memory(options.batches)
    finally:
        for peer in running.values():
            peer.close()
    first = rates[options.peers[0]]
    for name, own in rates.items():
        found[name]['first_step_seconds'] = asdict(Spread.of(found[name]['first_step_seconds']))
        found[name]['pairs_per_second'] = {key: asdict(Spread.of(values)) for key, values in own.items()}
        found[name]['ratio'] = {key: asdict(paired_ratios(first[key], values)) for key, values in own.items()}
    shared = {key: getattr(options, key) for key in ('size', 'batch_size', 'workers', 'batches')}
    return {**shared, 'data': options.data or 'synthetic clips', 'num_videos': len(videos), 'peers': found}


def _time_in_turn(running: dict[str, PeerProcess], options: Options, start: float) -> dict[str, dict[str, list[float]]]:
    rates: dict[str, dict[str, list[float]]] = {name: {key: [] for key in options.figures} for name in running}
    for number in range(options.rounds):
        began = time.monotonic()
        turn = list(running.items())
        for key in options.figures:
            for name, peer in turn if number % 2 == 0 else reversed(turn):
                rates[name][key].append(options.batches * options.batch_size / peer.seconds(key, options.batches))
        told = '; '.join(f'{name} {found[key][-1]:.3g}' for key in options.figures for name, found in rates.items())
        print(f'round {number + 1} of {options.rounds}: {told}', file=sys.stderr, flush=True)
        now = time.monotonic()
        if options.minutes is not None and now - start + (now - began) > 60 * options.minutes:
            break
    return rates


def peers_table(result: dict[str, Any]) -> str:
    """A Markdown table, one row per peer and figure: median (range)."""
    first = next(iter(result['peers']))
    header = ['', 'figure', 'pairs/s', f'{first} / this', 'first step, s', 'memory, MB']
    rows = []
    for name, found in result['peers'].items():
        for key, rate in found['pairs_per_second'].items():
            ratio = spread_text(found['ratio'][key]) if name != first else ''
            start, memory = spread_text(found['first_step_seconds']), f'{found["peak_memory_bytes"] / 1e6:.0f}'
            rows.append([name, key, spread_text(rate), ratio, start, memory])
    return markdown(header, rows)


if __name__ == '__main__':
    sys.exit(main())
