"""Pretrain with several methods on equal terms, judge all alike, and make one table.

Every METHOD is pretrained on the same videos with the same backbone, optimiser, input, share of labels, steps and views
(one pair a video and epoch is USCL's; the others get as many views, in batches of as many), then evaluated as by
tools/evaluate.py and, with --detection-data, as the backbone of a detector. With seed s, pretraining, choice of labels,
folds and evaluation all have the seed s. OUT gets results.json, table.md, table.png, and everything below them. Run
again, it goes on where it stopped; methods and seeds may be added. A run that fails is named, the others go on, and the
exit code is 1.

METHOD: random, imagenet (given weights); supervised, te (temporal ensembling), pi, fixmatch, mocov2, simclr, uscl; of
the paper's ablation vanilla, one-pair, mixed-pair, spg; NAME=METHOD:KEY=VALUE,… with keys of the config;
NAME=CONFIG.py; NAME=WEIGHTS.pth.

    python tools/compare.py --methods random supervised te pi fixmatch mocov2 simclr uscl \
        --pretrain-data data/covid_blues --eval-data data/pocus --seeds 3 --epochs 100 --size 64 --out work_dirs/compare
"""

import argparse
import json
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

import uscl_plugin
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command, command_line, positive_int
from uscl.core.folder_lock import lock_folder
from uscl.reports.comparison_figure import comparison_figure
from uscl.reports.figures import save_picture
from uscl.stats.evaluation_summary import summarise
from uscl_plugin.comparison.calibration import epochs_for
from uscl_plugin.comparison.comparison import Comparison, ComparisonOptions
from uscl_plugin.comparison.detection_config import DETECTOR, describe_detection
from uscl_plugin.comparison.methods import parse_methods
from uscl_plugin.comparison.pretraining_config import CommonSettings
from uscl_plugin.comparison.table import comparison_table, measured
from uscl_plugin.evaluation.options import Protocol
from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints

ALL = ['random', 'supervised', 'te', 'pi', 'fixmatch', 'mocov2', 'simclr', 'uscl']


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--methods', nargs='+', default=ALL, metavar='METHOD', help=f'(default: {" ".join(ALL)})')
    parser.add_argument('--imagenet-weights', metavar='PATH', help="of imagenet: torchvision's resnet18 file")
    parser.add_argument('--pretrain-data', required=True, metavar='DIR', help='folder that a converter wrote')
    parser.add_argument('--pretrain-split', metavar='SPLIT', help='of these data (default: all videos)')
    parser.add_argument('--eval-data', required=True, metavar='DIR', help='folder that a converter wrote, labelled')
    parser.add_argument('--detection-data', metavar='DIR', help='folder that lesions_to_coco.py wrote')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the results')
    parser.add_argument('--seeds', type=positive_int, default=3, metavar='N', help='seeds 0 to N-1 (default: 3)')
    parser.add_argument('--epochs', type=positive_int, default=300, metavar='E', help='of USCL (default: 300)')
    parser.add_argument('--budget', type=float, metavar='MINUTES', help='fewer epochs, so that the whole table fits')
    parser.add_argument('--batch-size', type=positive_int, default=32, help='pairs in a batch (default: 32)')
    parser.add_argument('--size', type=positive_int, default=224, metavar='PX', help='side of the input (default: 224)')
    parser.add_argument('--label-fraction', type=float, default=0.01, help='of the videos (default: 0.01)')
    parser.add_argument('--workers', type=int, help='processes that load (default: 4, or one a core)')
    parser.add_argument(
        '--protocol', choices=get_args(Protocol), default='linear', help='of the evaluation (default: linear)'
    )
    parser.add_argument('--folds', default='5', metavar='K', help="number, or 'split' (default: 5)")
    parser.add_argument('--frames-per-video', type=positive_int, metavar='N', help='evaluated, at most')
    parser.add_argument('--finetune-epochs', type=positive_int, help="(default: the config's, 100)")
    parser.add_argument('--detection-config', default=str(DETECTOR), help="(default: the paper's on UDIAT-B)")
    parser.add_argument('--detection-epochs', type=positive_int, help="(default: the config's, 30)")
    parser.add_argument(
        '--detection-size', type=positive_int, metavar='PX', help="shorter side (default: the config's)"
    )
    parser.add_argument('--resamples', type=positive_int, default=2000, help='of patients (default: 2000)')
    args = parser.parse_args(argv)
    if not 0 <= args.label_fraction <= 1:
        parser.error(f'--label-fraction should be in [0, 1] (0.01 is 1 %), got {args.label_fraction}.')
    if args.budget is not None and args.detection_data is not None:
        parser.error('--budget does not know how long detectors take: give --epochs with --detection-data.')
    return args


@as_command(kept='what has finished is kept, the same command goes on from there.')
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = parse_args(argv)
    command = command_line('tools/compare.py', argv)
    init_default_scope('mmpretrain')
    if not MMLogger.check_instance_created('compare'):  # else MMEngine lists the initialisation of every weight
        MMLogger.get_instance('compare', log_level='ERROR')
    only_plain_checkpoints()
    out = Path(args.out)
    with lock_folder(out, 'comparing'):
        options = _options(args)
        print(f'{len(options.methods)} methods, {options.seeds} seeds, {options.pretraining.epochs} epochs of USCL')
        comparison = Comparison(options, report=lambda line: print(line, flush=True))
        complete = comparison.run(after_each=lambda: _write(out, comparison, args.resamples, command))
    print((out / 'table.md').read_text(encoding='utf-8'))
    print(f'wrote {out}/results.json, table.md' + ' and table.png' * bool(comparison.runs))
    if not complete:
        failed = [f'{row.method} (seed {row.seed})' for row in comparison.rows if row.status != 'finished']
        print(f'error: {", ".join(failed)} failed, see above; the same command tries again.', file=sys.stderr)
    return 0 if complete else 1


def _options(args: argparse.Namespace) -> ComparisonOptions:
    given = vars(args)
    common = {field.name: given[field.name] for field in fields(CommonSettings) if field.name in given}
    settings = CommonSettings(data=args.pretrain_data, split=args.pretrain_split, **common)
    own = {field.name: given[field.name] for field in fields(ComparisonOptions) if field.name in given}
    own |= {'methods': parse_methods(args.methods, args.imagenet_weights), 'pretraining': settings}
    options = ComparisonOptions(**own)
    return options if args.budget is None else epochs_for(options, 60 * args.budget)


def _write(out: Path, comparison: Comparison, resamples: int, command: str) -> None:
    options = comparison.options
    summary = summarise(comparison.runs, comparison.classes, resamples) if comparison.runs else None
    names = [method.name for method in options.methods]
    reference = 'uscl' if 'uscl' in names else names[-1]
    lesions = None
    if options.detection_data is not None:
        lesions = describe_detection(
            options.detection_data, options.detection_config, options.detection_epochs, options.detection_size
        )
    measures = measured(comparison.rows)
    facts = {
        'command': command,
        'pretraining': vars(options.pretraining),
        'evaluation': options.eval_data,
        'detection': lesions,
        'protocol': options.protocol,
        'folds': options.folds,
        'metrics': 'of videos, pooled over folds' + (f', by {summary["honest_selection"]}' if summary else ''),
        'device': torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU',
        'versions': {'uscl_plugin': uscl_plugin.__version__, 'torch': torch.__version__},
    }
    content = {'facts': facts, 'rows': [row.as_dict(measures) for row in comparison.rows], 'summary': summary}
    write_text(out / 'results.json', json.dumps(content, indent=1, ensure_ascii=False) + '\n')
    write_text(out / 'table.md', f'`{command}`\n\n{comparison_table(comparison.rows, summary, reference, lesions)}')
    if summary is not None:
        values = {name: {method: comparison.measures(method, name) for method in names} for name in measures}
        save_picture(comparison_figure(summary, highlight=reference, measures=values), out / 'table.png')


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, which ends the training under way, too
    sys.exit(main())
