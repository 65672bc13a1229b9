"""How long commands take to start: processor and wall-clock seconds until the help, the first step, the result.

python tools/benchmarks/start_times.py data/mine --backbone run/backbone.pth --out work_dirs/start

Every command runs in a process of its own, round by round. The first step is that of `uscl pretrain` on DATA at 64 px,
and of the config that it wrote, run by MMPretrain's training tool. The evaluations are probes with an empty cache of
features, then with a filled one.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.core.tables import markdown

# Runs `uscl` and ends the process after the first training step; its argument is the command line.
FIRST_STEP = """if True:
    import os, sys, threading, time

    def watch():
        while not hasattr(sys.modules.get('mmengine.runner.loops'), 'EpochBasedTrainLoop'):
            time.sleep(0.01)
        loop = sys.modules['mmengine.runner.loops'].EpochBasedTrainLoop
        run_iter = loop.run_iter

        def run_first(self, *arguments):
            run_iter(self, *arguments)
            os._exit(0)

        loop.run_iter = run_first

    threading.Thread(target=watch, daemon=True).start()
    from uscl import cli
    sys.exit(cli.main(sys.argv[1:]))
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the benchmark.

    Attributes:
        data: Folder that a converter wrote, of labelled clips.
        backbone: Checkpoint to evaluate.
        out: New folder for the runs, start.json and table.md.
        size: Side length of the input of the evaluations in pixels.
        rounds: Number of rounds.
        evaluations: Also evaluate; --no-evaluations leaves that out.
    """

    data: Annotated[str, Arg('DATA', positional=True)]
    backbone: Annotated[str, Arg('FILE')] = 'random'
    out: Annotated[str, Arg('DIR')] = 'work_dirs/start'
    size: Annotated[int, Arg('PX', at_least=32)] = 64
    rounds: Annotated[int, Arg('N', at_least=1)] = 3
    evaluations: bool = True


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    out = Path(options.out)
    times: dict[str, list[tuple[float, float]]] = {}
    out.mkdir(parents=True)
    for number in range(options.rounds):
        folder = out / f'round{number}'
        for name, command in commands(options, folder):
            times.setdefault(name, []).append(measure(command, folder / 'cache'))
    rows = [(name, *(spread([each[k] for each in found]) for k in (0, 1))) for name, found in times.items()]
    table = markdown(('until', 'processor, s', 'wall clock, s'), rows)
    write_text(out / 'start.json', json.dumps(times, indent=1) + '\n')
    write_text(out / 'table.md', table + '\n')
    print(table)
    return 0


def commands(options: Options, out: Path) -> list[tuple[str, list[str]]]:
    """Name and arguments of Python of everything that is measured, in order."""
    uscl, first = ['-m', 'uscl'], ['-c', FIRST_STEP]
    run = str(out / 'run')
    found = [
        ('uscl --help', [*uscl, '--help']),
        ('uscl convert --help', [*uscl, 'convert', '--help']),
        ('uscl evaluate --help', [*uscl, 'evaluate', '--help']),
        ('PyTorch is imported', ['-c', 'import torch']),
        ('MMPretrain is imported', ['-c', 'import mmpretrain.models']),
        ('uscl_plugin is imported', ['-c', 'import uscl_plugin']),
        ('first step of uscl pretrain', [*first, 'pretrain', options.data, '--out', run, '--size', '64']),
        ('first step of uscl train', [*first, 'train', f'{run}/config.py', '--work-dir', str(out / 'train')]),
    ]
    evaluate = [*uscl, 'evaluate', f'net={options.backbone}', '--data', options.data, '--size', str(options.size)]
    evaluate += ['--allow-leak']
    evaluations = [('linear probe', 'a'), ('linear probe, features cached', 'b'), ('the same again, finished', 'b')]
    found += [(name, [*evaluate, '--out', str(out / folder)]) for name, folder in evaluations if options.evaluations]
    if options.evaluations:
        knn = [*evaluate, '--protocol', 'knn', '--folds', '4', '--out', str(out / 'knn')]
        found.append(('kNN probe on other folds, features cached', knn))
    return found


def measure(arguments: list[str], cache: Path) -> tuple[float, float]:
    """Processor and wall-clock seconds of a process of Python.

    Raises:
        ValueError: It failed.
    """
    began, before = time.perf_counter(), os.times()
    environment = os.environ | {'USCL_CACHE': str(cache)}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)
    after, wall = os.times(), time.perf_counter() - began
    if done.returncode:
        raise ValueError(f'{arguments[-1]} failed: {done.stderr.strip()[-500:]}')
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return round(used, 3), round(wall, 3)


def spread(seconds: Sequence[float]) -> str:
    """The median, and the range of several."""
    middle = f'{statistics.median(seconds):.2f}'
    return middle if len(seconds) == 1 else f'{middle} ({min(seconds):.2f} to {max(seconds):.2f})'


if __name__ == '__main__':
    sys.exit(main())
