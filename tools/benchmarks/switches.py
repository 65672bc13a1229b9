"""Does a switch that makes training faster change what is learnt? Train with and without it, with several seeds.

The first VARIANT is what the others are compared with. A variant is NAME=CONFIG.py or NAME=CONFIG.py:KEY=VALUE,… with
keys of the config, such as bf16=CONFIG.py:optim_wrapper.type=AmpOptimWrapper,optim_wrapper.dtype=bfloat16. Run again,
it goes on where it stopped.

    python tools/benchmarks/switches.py plain=configs/uscl/uscl_resnet18_demo.py \
        device=configs/uscl/uscl_resnet18_demo_device-aug.py --data work_dirs/demo/data --out work_dirs/switches
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from uscl.core.atomic_files import write_text
from uscl.core.command_line import positive_int
from uscl.reports.figures import save_picture
from uscl.reports.loss_comparison import Curve, final_losses, loss_comparison
from uscl.reports.training_log import find_scalars, read_scalars
from uscl_plugin.comparison.methods import Method, parse_methods
from uscl_plugin.comparison.training_run import run_training


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('variants', nargs='+', metavar='VARIANT')
    parser.add_argument('--data', required=True, metavar='DIR', help='folder that a converter wrote')
    parser.add_argument('--epochs', type=positive_int, default=60, help='(default: 60)')
    parser.add_argument('--seeds', type=positive_int, default=3, metavar='N', help='seeds 0 to N-1 (default: 3)')
    parser.add_argument('--out', required=True, metavar='DIR', help='gets losses.json, losses.png and the trainings')
    args = parser.parse_args(argv)
    out = Path(args.out)
    try:
        methods = parse_methods(args.variants)
        if given := [method.name for method in methods if method.config is None]:
            raise ValueError(f'{given[0]} has no config: a variant is NAME=CONFIG.py or NAME=CONFIG.py:KEY=VALUE.')
        curves: dict[str, list[Curve]] = {method.name: [] for method in methods}
        seconds: dict[str, list[float]] = {method.name: [] for method in methods}
        for seed in range(args.seeds):
            for method in methods:
                print(f'{method.name}, seed {seed}', file=sys.stderr)
                done = run_training(
                    variant_config(method, args.data, args.epochs, seed), out / method.name / f'seed{seed}'
                )
                scalars = read_scalars(find_scalars(done.checkpoint))
                curves[method.name].append(scalars['loss'])
                seconds[method.name].append(float(np.median(scalars['time'][1])))
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    finals = {name: final_losses(runs) for name, runs in curves.items()}
    Console().print(table(finals, seconds))
    content = {
        name: {'final_losses': finals[name].tolist(), 'seconds_per_step': seconds[name], 'variant': variant}
        for name, variant in zip(finals, args.variants, strict=True)
    }
    write_text(out / 'losses.json', json.dumps(content, indent=1) + '\n')
    save_picture(loss_comparison(curves, f'{args.epochs} epochs, {args.seeds} seeds'), out / 'losses.png')
    return 0


def variant_config(method: Method, data: str, epochs: int, seed: int) -> Config:
    """The config of one training; every step is logged."""
    cfg = Config.fromfile(method.config)
    cfg.merge_from_dict(
        {
            'train_dataloader.dataset.data_root': str(Path(data).expanduser().resolve()),
            'train_cfg.max_epochs': epochs,
            'default_hooks.logger.interval': 1,
            'default_hooks.checkpoint.interval': epochs,
            'randomness.seed': seed,
        }
    )
    cfg.merge_from_dict(method.options)
    return cfg


def table(finals: dict[str, np.ndarray], seconds: dict[str, list[float]]) -> Table:
    """Final losses, differences to the first variant with the same seed, and the time of a step."""
    shown = Table()
    for column in ('variant', 'final loss, mean (SD)', 'difference a seed, mean (SD)', 'seconds a step'):
        shown.add_column(column, justify='left' if column == 'variant' else 'right')
    reference = next(iter(finals.values()))
    for name, values in finals.items():
        own = '' if values is reference else mean_sd(values - reference)
        shown.add_row(name, mean_sd(values), own, f'{np.median(seconds[name]):.3f}')
    return shown


def mean_sd(values: np.ndarray) -> str:
    """Mean and standard deviation of a sample."""
    return f'{values.mean():.4f}' + (f' ({values.std(ddof=1):.4f})' if len(values) > 1 else '')


if __name__ == '__main__':
    sys.exit(main())
