"""How soon is a backbone as good as the released algorithm's? Train variants, and watch held-out videos.

The first VARIANT is the reference: the others are timed until the held-out gap and AUROC are what it ends with. A
variant is a METHOD of tools/compare.py with changes, NAME=METHOD:KEY=VALUE,…, or NAME=CONFIG.py:KEY=VALUE,…; the key
`epochs` makes it shorter. Running it again resumes where it stopped. Times are those of the steps, with loading, so run
nothing beside it.

    python tools/benchmarks/time_to_quality.py released=configs/uscl/uscl_resnet18_1xb32-300e_us4-224px_released.py \
        uscl "small=uscl:train_dataloader.dataset.steps.AntialiasedRandomResizedCrop.schedule.start=0.5" \
        --data data/covid_blues --size 64 --epochs 120 --seeds 5 --out work_dirs/time_to_quality
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from instruments.quality_curves import QualityCurve, final_values, quality_figure, sooner
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.options.common_settings import CommonSettings
from uscl.reports.figures import save_picture
from uscl.reports.training_log import find_scalars
from uscl_plugin.comparison.methods import Method, parse_methods
from uscl_plugin.comparison.pretraining_config import pretraining_config
from uscl_plugin.comparison.training_run import run_training

FRAMES = 8  # of each held-out video


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        variants: See above.
        data: Folder written by a converter, with splits train and val.
        size: Side length of the input in pixels.
        epochs: Epochs of the reference; other methods get the same number of steps and views.
        seeds: Training runs per variant, with seeds 0 to N-1.
        reports: Reports on the held-out videos per run.
        workers: Number of loading processes.
        out: Output folder for quality.json, quality.png and the training runs.
    """

    variants: Annotated[list[str], Arg('VARIANT', positional=True)]
    data: Annotated[str, Arg('DIR')]
    size: Annotated[int, Arg('PX', at_least=32)] = 64
    epochs: Annotated[int, Arg(at_least=1)] = 120
    seeds: Annotated[int, Arg('N', at_least=1)] = 5
    reports: Annotated[int, Arg(at_least=1)] = 24
    workers: Annotated[int, Arg(at_least=0)] = 0
    out: Annotated[str, Arg('DIR')]


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    out, methods = Path(options.out), parse_methods(options.variants)
    if given := [method.name for method in methods if method.config is None]:
        raise ValueError(f'{given[0]} has no config: a variant is NAME=METHOD:KEY=VALUE or NAME=CONFIG.py:KEY=VALUE.')
    if started := [method.name for method in methods if method.init is not None]:
        raise ValueError(f'{started[0]} starts from given weights, but variants start alike: remove init.')
    curves: dict[str, list[QualityCurve]] = {method.name: [] for method in methods}
    for seed in range(options.seeds):
        for method in methods:
            print(f'{method.name}, seed {seed}', file=sys.stderr)
            done = run_training(variant_config(method, options, seed), out / method.name / f'seed{seed}')
            curves[method.name].append(QualityCurve.of(find_scalars(done.checkpoint)))
    target = final_values(curves[methods[0].name])
    Console().print(table(curves, target))
    content = {
        'variants': options.variants,
        'target': target,
        'curves': {name: [as_lists(curve) for curve in runs] for name, runs in curves.items()},
    }
    write_text(out / 'quality.json', json.dumps(content, indent=1) + '\n')
    title = f'{options.size} px, {options.seeds} seeds'
    save_picture(quality_figure(curves, target, title), out / 'quality.png')
    return 0


def variant_config(method: Method, options: Options, seed: int) -> Config:
    """The config of one training run; every step is logged."""
    changes = dict(method.options)
    epochs = int(changes.pop('epochs', options.epochs))
    common = CommonSettings(
        pretrain_data=options.data, pretrain_split='train', size=options.size, epochs=epochs, workers=options.workers
    )
    cfg, budget = pretraining_config(replace(method, options=changes), common, seed)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(interval=budget.epochs, max_keep_ckpts=1)
    cfg.default_hooks.held_out.update(
        data_root=cfg.train_dataloader.dataset.data_root,
        split='val',
        frames_per_video=FRAMES,
        interval=max(1, budget.epochs // options.reports),
    )
    return cfg


def table(curves: dict[str, list[QualityCurve]], target: dict[str, float]) -> Table:
    """What each variant ends with, and how soon it is as good as the first."""
    shown = Table()
    for column in ('variant', 'gap at the end', 'AUROC at the end', 'steps', 'minutes', 'times sooner (95 %)'):
        shown.add_column(column, justify='left' if column == 'variant' else 'right')
    whole = [curve.seconds[-1] for curve in next(iter(curves.values()))]
    for name, runs in curves.items():
        ends = [mean_sd([curve.measures[measure][-1] for curve in runs]) for measure in ('gap', 'auroc')]
        first = [curve.first_at(target) for curve in runs]
        steps, seconds = (
            [None if k is None else float(getattr(curve, key)[k]) for curve, k in zip(runs, first, strict=True)]
            for key in ('steps', 'seconds')
        )
        ratio, low, high = sooner(whole, seconds)
        reached = [value is not None for value in seconds]
        if all(reached):
            minutes = mean_sd([value / 60 for value in seconds if value is not None], 1)
            shown.add_row(name, *ends, mean_sd(steps, 0), minutes, f'{ratio:.2f} ({low:.2f} to {high:.2f})')
        else:
            shown.add_row(name, *ends, f'reached by {sum(reached)} of {len(reached)}', '', '')
    return shown


def mean_sd(values: list, digits: int = 3) -> str:
    """Mean and sample standard deviation."""
    deviation = f' ({np.std(values, ddof=1):.{digits}f})' if len(values) > 1 else ''
    return f'{np.mean(values):.{digits}f}{deviation}'


def as_lists(curve: QualityCurve) -> dict:
    """The curve as plain JSON."""
    measures = {name: values.tolist() for name, values in curve.measures.items()}
    return {'steps': curve.steps.tolist(), 'seconds': curve.seconds.tolist(), **measures}


if __name__ == '__main__':
    sys.exit(main())
