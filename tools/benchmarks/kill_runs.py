"""Kill a training run at random moments, resume it, and compare its end with that of an undisturbed run.

Every second kill hits while a checkpoint is being written; after some kills, the newest checkpoint is also truncated.
Each time, the run must resume from the newest loadable checkpoint, and it must end with the same weights to the last
bit; otherwise the exit status is 1. Use a CPU, because GPU computations may not be reproducible.

    python tools/benchmarks/kill_runs.py configs/uscl/uscl_resnet18_demo.py --kills 50 --out work_dirs/kills \
        --cfg-options train_cfg.max_epochs=60 default_hooks.checkpoint.interval=1
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import uscl_plugin
from instruments.kills import KillRecord, differences, kill_until
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.errors import SourceError
from uscl.core.options import Arg, parse_options
from uscl_plugin.running.host_tools import config_needs


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        config: Pretraining config that saves every epoch.
        out: New output folder for both runs and kills.json.
        kills: Maximum number of kills.
        minutes: Stop killing after this many minutes.
        truncate: Fraction of kills after which the newest checkpoint is truncated.
        seed: Seed of the random moments.
        cfg_options: Changes to the config.
    """

    config: Annotated[str, Arg(positional=True)]
    out: Annotated[str, Arg('DIR')]
    kills: Annotated[int, Arg('N', at_least=1)] = 50
    minutes: Annotated[float | None, Arg('M', above=0)] = None
    truncate: Annotated[float, Arg(at_least=0, below=1)] = 0.1
    seed: int = 0
    cfg_options: Annotated[list[str], Arg('KEY=VALUE')] = field(default_factory=list)


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    out, begin = Path(options.out), time.monotonic()
    if out.exists() and any(out.iterdir()):
        raise SourceError(f'--out {out} is not empty: choose a new folder, or delete it.')
    try:
        config_needs(Path(options.config))
    except (OSError, ValueError) as error:
        raise SourceError(str(error)) from error
    arguments = [options.config, *(['--cfg-options', *options.cfg_options] if options.cfg_options else [])]

    def is_enough(lives: list[KillRecord]) -> bool:
        late = options.minutes is not None and time.monotonic() - begin > 60 * options.minutes
        return len(lives) >= options.kills or late

    def report(life: KillRecord) -> None:
        what = ' while saving' * life.while_saving + ', newest truncated' * life.truncated
        print(f'killed after {life.seconds:.1f} s{what}; resumed from {life.resumed}', flush=True)

    try:
        disturbed = kill_until(arguments, out / 'killed', is_enough, options.truncate, options.seed, report)
        kill_until(arguments, out / 'undisturbed', lambda lives: True)
    except RuntimeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    disturbed.differences = differences(out / 'killed', out / 'undisturbed')
    write_text(
        out / 'kills.json',
        json.dumps({'version': uscl_plugin.__version__, 'arguments': asdict(options), **asdict(disturbed)}, indent=1)
        + '\n',
    )
    _print_summary(disturbed.lives, len(disturbed.wrong), len(disturbed.differences), time.monotonic() - begin)
    return 1 if disturbed.wrong or disturbed.differences else 0


def _print_summary(lives: list[KillRecord], wrong: int, differing: int, seconds: float) -> None:
    saving, cut = sum(life.while_saving for life in lives), sum(life.truncated for life in lives)
    resumed = sum(life.resumed is not None for life in lives)
    memory = [life.memory for life in lives if life.memory == life.memory]
    print(f'{len(lives)} kills in {seconds / 60:.1f} minutes, {saving} while saving, {cut} with truncation')
    print(f'{resumed} lives resumed, {wrong} of them not from the newest loadable checkpoint')
    if memory:
        print(f'memory per life: median {statistics.median(memory):.0f} MB, most {max(memory):.0f} MB')
    print(f'last checkpoint, compared with the undisturbed run: {differing} entries differ')


if __name__ == '__main__':
    sys.exit(main())
