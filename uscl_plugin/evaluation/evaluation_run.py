"""Run a whole evaluation: cross-validate backbones, summarise, and write the numbers, the table and the page."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from uscl.core.atomic_files import write_text
from uscl.core.cluster import Cluster
from uscl.core.escaping import code, for_markdown, for_terminal
from uscl.core.folder_lock import lock_folder
from uscl.options.evaluation_options import EvaluationOptions
from uscl.reports.evaluation_report import write_evaluation_report
from uscl.stats.evaluation_summary import Runs, markdown_table, summarise

from .backbones import is_untrained
from .cluster_folds import run_folds
from .cross_validation import TRAINED_ON, CrossValidation
from .host_setup import set_up_hosts
from .machine import machine_facts
from .probes import PROBES

LEAK = '{}: these figures are inflated by leakage.'


def evaluate(options: EvaluationOptions, command: str = '', report: Callable[[str], None] = print) -> dict[str, Any]:
    """Evaluate backbones; warnings go to stderr.

    Args:
        options: Options of the evaluation; ``options.out`` receives ``metrics.json``, ``table.md``, ``report.html``,
            the folds and all predictions.
        command: The command line, to show on the page.
        report: Called with a line for each finished cell.

    Returns:
        The numbers, see :func:`~uscl.stats.evaluation_summary.summarise`.

    Raises:
        FileNotFoundError: A checkpoint or the data are missing.
        ValueError: Data, folds, checkpoints or earlier results do not fit the options, or there is leakage.
    """
    began = time.perf_counter()
    set_up_hosts()
    validation = CrossValidation(options, report)
    _warn([LEAK.format(validation.leak)] * bool(validation.leak) + validation.unknown + validation.suspicions)
    _warn(validation.warnings)
    told = len(validation.warnings)
    with lock_folder(options.out, 'evaluating'):
        if options.cluster is not None:
            with Cluster(options.cluster, options.out, [options.data], torch.get_num_threads()) as cluster:
                for failure in run_folds([validation], cluster, report).values():
                    raise ValueError(failure)
        runs = validation.run()
        _warn(validation.warnings[told:])
        untrained = [method for method, spec in validation.methods.items() if is_untrained(spec)]
        summary = summarise(runs, validation.classes, options.resamples, untrained=untrained)
        _write(validation, runs, summary, _facts(validation, command, time.perf_counter() - began))
    return summary


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        print(f'warning: {for_terminal(warning)}', file=sys.stderr)


def _facts(validation: CrossValidation, command: str, seconds: float) -> dict[str, Any]:
    options = validation.options
    return {
        'command': command,
        'data': options.data,
        'protocol': options.protocol,
        'folds': options.folds,
        'split': options.only_split or 'all',
        'seeds': options.seeds,
        'grouped by': options.group_by if options.folds.isdigit() else options.folds,
        'input size': options.size,
        'epochs': options.epochs,
        'training patients of each class': options.patients_per_class or 'all',
        'frames per video': options.frames_per_video or 'all',
        'inner validation': options.val_fraction,
        'trained on': TRAINED_ON[options.protocol in PROBES],
        'leak': validation.leak,
        'suspicions': validation.suspicions,
        'unknown': validation.unknown,
        'warnings': validation.warnings,
        'settings': {
            'checkpoints': validation.methods,
            'config': options.config,
            'cfg_options': options.cfg_options,
        },
        'seconds': round(seconds, 1),
    } | machine_facts()


def _write(validation: CrossValidation, runs: Runs, summary: dict[str, Any], facts: dict[str, Any]) -> None:
    out = validation.out
    backbones = {method: health.as_dict() for method, health in validation.backbones.items()}
    content = {'facts': facts, 'summary': summary, 'cells': validation.cells, 'backbones': backbones}
    write_text(out / 'metrics.json', json.dumps(content, indent=1, ensure_ascii=False) + '\n')
    leak = f'**{for_markdown(LEAK.format(validation.leak))}**\n\n' if validation.leak else ''
    table = f'{code(facts["command"])}\n\n{leak}{markdown_table(summary, facts["trained on"] + " ")}\n'
    write_text(out / 'table.md', table)
    data = validation.options.data
    write_evaluation_report(out / 'report.html', runs, validation.classes, summary, facts, data, backbones)
