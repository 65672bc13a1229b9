"""Does a switch that speeds up training change what is learned? Train with and without it, with several seeds.

The other VARIANTs are compared with the first. A variant is NAME=CONFIG.py or NAME=CONFIG.py:KEY=VALUE,… with keys of
the config, such as bf16=CONFIG.py:optim_wrapper.type=AmpOptimWrapper,optim_wrapper.dtype=bfloat16. Running it again
resumes where it stopped.

    python tools/benchmarks/switches.py plain=configs/uscl/uscl_resnet18_demo.py \
        device=configs/uscl/uscl_resnet18_demo_device-aug.py --data work_dirs/demo/data --out work_dirs/switches
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from instruments.loss_comparison import Curve, final_losses, loss_comparison
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.reports.figures import save_picture
from uscl.reports.training_log import find_scalars, read_scalars
from uscl_plugin.comparison.methods import Method, parse_methods
from uscl_plugin.comparison.training_run import run_training


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        variants: NAME=CONFIG.py or NAME=CONFIG.py:KEY=VALUE,…; the others are compared with the first.
        data: Folder written by a converter.
        epochs: Epochs per training run.
        seeds: Training runs per variant, with seeds 0 to N-1.
        out: Output folder for losses.json, losses.png and the training runs.
    """

    variants: Annotated[list[str], Arg('VARIANT', positional=True)]
    data: Annotated[str, Arg('DIR')]
    epochs: Annotated[int, Arg(at_least=1)] = 60
    seeds: Annotated[int, Arg('N', at_least=1)] = 3
    out: Annotated[str, Arg('DIR')]


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    out = Path(options.out)
    methods = parse_methods(options.variants)
    if given := [method.name for method in methods if method.config is None]:
        raise ValueError(f'{given[0]} has no config: a variant is NAME=CONFIG.py or NAME=CONFIG.py:KEY=VALUE.')
    curves: dict[str, list[Curve]] = {method.name: [] for method in methods}
    seconds: dict[str, list[float]] = {method.name: [] for method in methods}
    for seed in range(options.seeds):
        for method in methods:
            print(f'{method.name}, seed {seed}', file=sys.stderr)
            config = variant_config(method, options.data, options.epochs, seed)
            done = run_training(config, out / method.name / f'seed{seed}')
            scalars = read_scalars(find_scalars(done.checkpoint))
            curves[method.name].append(scalars['loss'])
            seconds[method.name].append(float(np.median(scalars['time'][1])))
    finals = {name: final_losses(runs) for name, runs in curves.items()}
    Console().print(table(finals, seconds))
    content = {
        name: {'final_losses': finals[name].tolist(), 'seconds_per_step': seconds[name], 'variant': variant}
        for name, variant in zip(finals, options.variants, strict=True)
    }
    write_text(out / 'losses.json', json.dumps(content, indent=1) + '\n')
    save_picture(loss_comparison(curves, f'{options.epochs} epochs, {options.seeds} seeds'), out / 'losses.png')
    return 0


def variant_config(method: Method, data: str, epochs: int, seed: int) -> Config:
    """The config of one training run; every step is logged."""
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
    """Final losses, differences from the first variant with the same seed, and the time per step."""
    shown = Table()
    for column in ('variant', 'final loss, mean (SD)', 'difference per seed, mean (SD)', 'seconds per step'):
        shown.add_column(column, justify='left' if column == 'variant' else 'right')
    reference = next(iter(finals.values()))
    for name, values in finals.items():
        own = '' if values is reference else mean_sd(values - reference)
        shown.add_row(name, mean_sd(values), own, f'{np.median(seconds[name]):.3f}')
    return shown


def mean_sd(values: np.ndarray) -> str:
    """Mean and sample standard deviation."""
    return f'{values.mean():.4f}' + (f' ({values.std(ddof=1):.4f})' if len(values) > 1 else '')


if __name__ == '__main__':
    sys.exit(main())
