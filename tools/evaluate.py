"""Judge backbones on labelled clips by cross-validation that keeps patients together.

Every CHECKPOINT (PATH, NAME=PATH, or `random` for a network that was never trained) is fine-tuned or probed on K folds
and N seeds. Three choices of the epoch (or of a probe's setting) are reported side by side: best-on-test (what the
paper's code does; too good), last (fixed, for probes), and inner-val (chosen on other patients than those tested on;
the honest one). OUT gets metrics.json, table.md, report.html, the folds and all predictions. Run again, it goes on
where it stopped; further checkpoints and seeds may be added (name them: without NAME= a name can change with others).

    python tools/evaluate.py random uscl=work_dirs/uscl/epoch_300.pth --data data/pocus --folds 5 --seeds 3 \
        --protocol finetune3 --out work_dirs/pocus_finetune3
"""

import argparse
import json
import sys
import time
from pathlib import Path

import mmengine
import torch
from mmengine.config import DictAction
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

import uscl_plugin
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command, command_line, fraction, positive_int
from uscl.core.folder_lock import lock_folder
from uscl.data.fold_making import GROUPINGS
from uscl.reports.evaluation_report import write_evaluation_report
from uscl.stats.evaluation_summary import markdown_table, summarise
from uscl_plugin.evaluation.cross_validation import PROTOCOLS, TRAINED_ON, CrossValidation
from uscl_plugin.evaluation.options import EvaluationOptions
from uscl_plugin.evaluation.probes import PROBES
from uscl_plugin.weights.input_metadata import INPUT_KEYS, add_input_arguments
from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints

LEAK = '{}: these figures pretend.'


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoints', nargs='+', metavar='CHECKPOINT', help='PATH, NAME=PATH or random')
    parser.add_argument('--data', required=True, metavar='DIR', help='folder that a converter wrote')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the results')
    parser.add_argument('--folds', default='5', metavar='K', help="number, 'split' (the index's column) or 'official'")
    parser.add_argument(
        '--seeds', type=positive_int, default=1, metavar='N', help='runs with seeds 0 to N-1 (default: 1)'
    )
    parser.add_argument('--protocol', choices=PROTOCOLS, default='linear', help='(default: linear)')
    parser.add_argument('--size', type=positive_int, default=224, help='side of the input in pixels (default: 224)')
    parser.add_argument('--epochs', type=positive_int, help="length of fine-tuning (default: the config's, 100)")
    parser.add_argument('--frames-per-video', type=positive_int, metavar='N', help='at most so many, spread evenly')
    parser.add_argument(
        '--val-fraction', type=fraction, default=0.2, help='of each training part, for inner-val (0: none)'
    )
    parser.add_argument('--group-by', choices=GROUPINGS, default='patient', help='video is a leak')
    parser.add_argument('--allow-leak', action='store_true', help='evaluate although patients are on both sides')
    parser.add_argument('--batch-norm', choices=('released', 'frozen'), help="of frozen layers (default: the config's)")
    parser.add_argument('--config', help='fine-tuning config in place of the one in configs/pocus')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, help='changes to that config')
    parser.add_argument('--no-models', dest='keep_models', action='store_false', help='keep no trained classifier')
    parser.add_argument(
        '--resamples', type=positive_int, default=2000, help='of patients, for the intervals (default: 2000)'
    )
    add_input_arguments(parser)
    args = parser.parse_args(argv)
    fine_tuned = ('epochs', 'batch_norm', 'cfg_options', 'config')
    idle = fine_tuned if args.protocol in PROBES else ('batch_norm',) if args.protocol == 'finetune' else ()
    if given := [f'--{name.replace("_", "-")}' for name in idle if getattr(args, name)]:
        parser.error(f'{", ".join(given)} would change nothing with --protocol {args.protocol}: leave it out.')
    return args


@as_command(kept='finished folds are kept, the same command goes on from there.')
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = vars(parse_args(argv))
    began = time.perf_counter()
    command = command_line('tools/evaluate.py', argv)
    resamples = args.pop('resamples')
    options = EvaluationOptions(**{key: args.pop(key) for key in list(args) if key not in INPUT_KEYS}, given=args)
    init_default_scope('mmpretrain')
    if not MMLogger.check_instance_created('evaluate'):  # else MMEngine lists the initialisation of every weight
        MMLogger.get_instance('evaluate', log_level='ERROR')
    only_plain_checkpoints()
    validation = CrossValidation(options, report=lambda line: print(line, flush=True))
    _warn([LEAK.format(validation.leak)] * bool(validation.leak) + validation.warnings)
    told = len(validation.warnings)
    with lock_folder(options.out, 'evaluating'):
        runs = validation.run()
        _warn(validation.warnings[told:])
        summary = summarise(runs, validation.classes, resamples)
        facts = _facts(options, validation, command, time.perf_counter() - began)
        _write(options, validation, runs, summary, facts)
    print(markdown_table(summary))
    print(f'wrote {options.out}/metrics.json, table.md and report.html')
    return 0


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        print(f'warning: {warning}', file=sys.stderr)


def _facts(options: EvaluationOptions, validation: CrossValidation, command: str, seconds: float) -> dict:
    return {
        'command': command,
        'data': options.data,
        'protocol': options.protocol,
        'folds': options.folds,
        'seeds': options.seeds,
        'grouped by': options.group_by if options.folds.isdigit() else options.folds,
        'input size': options.size,
        'epochs': options.epochs,
        'frames per video': options.frames_per_video or 'all',
        'inner validation': options.val_fraction,
        'trained on': TRAINED_ON[options.protocol in PROBES],
        'leak': validation.leak,
        'warnings': validation.warnings,
        'settings': {'checkpoints': validation.methods, 'cfg_options': options.cfg_options},
        'device': torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f'CPU, {torch.get_num_threads()} threads',
        'seconds': round(seconds, 1),
        'versions': {
            'uscl_plugin': uscl_plugin.__version__,
            'torch': torch.__version__,
            'mmengine': mmengine.__version__,
        },
    }


def _write(options: EvaluationOptions, validation: CrossValidation, runs: dict, summary: dict, facts: dict) -> None:
    out = Path(options.out)
    backbones = {method: health.as_dict() for method, health in validation.backbones.items()}
    content = {'facts': facts, 'summary': summary, 'cells': validation.cells, 'backbones': backbones}
    text = json.dumps(content, indent=1, ensure_ascii=False) + '\n'
    write_text(out / 'metrics.json', text)
    leak = f'**{LEAK.format(validation.leak)}**\n\n' if validation.leak else ''
    table = f'`{facts["command"]}`\n\n{leak}{facts["trained on"]} {markdown_table(summary)}\n'
    write_text(out / 'table.md', table)
    write_evaluation_report(out / 'report.html', runs, validation.classes, summary, facts, options.data, backbones)


if __name__ == '__main__':
    sys.exit(main())
