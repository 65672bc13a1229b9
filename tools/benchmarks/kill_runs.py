"""Kill a training at random moments, resume it, and compare how it ends with an undisturbed run.

Every second kill hits while a checkpoint is being written; after some, the newest checkpoint is cut off, too. The run
must start from the newest checkpoint that loads each time, and end with the same weights to the last bit. The exit code
is 1 otherwise. Needs a CPU: what a GPU computes need not be the same twice.

    python tools/benchmarks/kill_runs.py configs/uscl/uscl_resnet18_demo.py --kills 50 --out work_dirs/kills \
        --cfg-options train_cfg.max_epochs=60 default_hooks.checkpoint.interval=1
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import uscl_plugin
from instruments.kills import KillRecord, differences, kill_until
from uscl.core.atomic_files import write_text
from uscl.core.command_line import fraction, positive_float, positive_int
from uscl_plugin.running.host_tools import config_needs


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='of a pretraining that saves every epoch')
    parser.add_argument('--out', required=True, metavar='DIR', help='new folder for both runs and kills.json')
    parser.add_argument('--kills', type=positive_int, default=50, metavar='N', help='at most (default: 50)')
    parser.add_argument('--minutes', type=positive_float, metavar='M', help='stop killing after so long')
    parser.add_argument('--truncate', type=fraction, default=0.1, help='share of kills with a cut-off (default: 0.1)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='of the training')
    args = parser.parse_args(argv)
    out, begin = Path(args.out), time.monotonic()
    if out.exists() and any(out.iterdir()):
        parser.error(f'--out {out} is not empty: give a new folder, or delete it.')
    try:
        config_needs(Path(args.config))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    arguments = [args.config, *(['--cfg-options', *args.cfg_options] if args.cfg_options else [])]

    def is_enough(lives: list[KillRecord]) -> bool:
        late = args.minutes is not None and time.monotonic() - begin > 60 * args.minutes
        return len(lives) >= args.kills or late

    def report(life: KillRecord) -> None:
        what = ' while saving' * life.while_saving + ', newest cut off' * life.truncated
        print(f'killed after {life.seconds:.1f} s{what}; resumed from {life.resumed}', flush=True)

    try:
        disturbed = kill_until(arguments, out / 'killed', is_enough, args.truncate, args.seed, report)
        kill_until(arguments, out / 'undisturbed', lambda lives: True)
    except RuntimeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    disturbed.differences = differences(out / 'killed', out / 'undisturbed')
    write_text(
        out / 'kills.json',
        json.dumps({'version': uscl_plugin.__version__, 'arguments': vars(args), **asdict(disturbed)}, indent=1) + '\n',
    )
    _print_summary(disturbed.lives, len(disturbed.wrong), len(disturbed.differences), time.monotonic() - begin)
    return 1 if disturbed.wrong or disturbed.differences else 0


def _print_summary(lives: list[KillRecord], wrong: int, differing: int, seconds: float) -> None:
    saving, cut = sum(life.while_saving for life in lives), sum(life.truncated for life in lives)
    resumed = sum(life.resumed is not None for life in lives)
    memory = [life.memory for life in lives if life.memory == life.memory]
    print(f'{len(lives)} kills in {seconds / 60:.1f} minutes, {saving} while a checkpoint was written, {cut} cut off')
    print(f'{resumed} lives resumed, {wrong} of them not from the newest checkpoint that loads')
    if memory:
        print(f'memory of a life: median {statistics.median(memory):.0f} MB, most {max(memory):.0f} MB')
    print(f'last checkpoint against the undisturbed run: {differing} entries differ')


if __name__ == '__main__':
    sys.exit(main())
