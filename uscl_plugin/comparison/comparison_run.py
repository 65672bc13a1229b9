"""Run a whole comparison: pretrain, evaluate and detect with every method; write numbers, table and figure."""

import json
from collections.abc import Callable
from dataclasses import fields

import torch

from uscl.core.atomic_files import write_text
from uscl.core.cluster import Cluster
from uscl.core.escaping import code
from uscl.core.folder_lock import lock_folder
from uscl.options.common_settings import CommonSettings
from uscl.options.comparison_options import ComparisonOptions
from uscl.reports.comparison_figure import comparison_figure
from uscl.reports.figures import save_picture
from uscl.stats.evaluation_summary import summarise
from uscl_plugin.evaluation.host_setup import set_up_hosts
from uscl_plugin.evaluation.machine import machine_facts

from .calibration import epochs_for
from .cluster_rows import run_rows
from .comparison import Comparison
from .detection_config import describe_detection
from .table import comparison_table, measured


def compare(options: ComparisonOptions, command: str = '', report: Callable[[str], None] = print) -> Comparison:
    """Compare methods; ``results.json``, ``table.md`` and ``table.png`` in ``options.out`` are updated after every row.

    Args:
        options: Options of the comparison.
        command: The command line, to show above the table.
        report: Called with a line for each event.

    Returns:
        The comparison with all its rows, some of which may have failed.

    Raises:
        FileNotFoundError: Data, configs or weights are missing.
        ValueError: They are damaged, or do not fit together.
    """
    set_up_hosts('compare')
    with lock_folder(options.out, 'comparing'):
        if options.budget is not None:
            options = epochs_for(options, 60 * options.budget)
        comparison = Comparison(options, report)
        report(f'{len(comparison.methods)} methods, {options.seeds} seeds, {options.epochs} epochs of USCL')
        if options.cluster is not None:
            folders = [
                folder for folder in (options.eval_data, options.pretrain_data, options.detection_data) if folder
            ]
            with Cluster(options.cluster, options.out, folders, torch.get_num_threads()) as cluster:
                run_rows(comparison, cluster)
        comparison.run(after_each=lambda: _write(comparison, command))
    return comparison


def _write(comparison: Comparison, command: str) -> None:
    options, out = comparison.options, comparison.out
    names = [method.name for method in comparison.methods]
    untrained = [method.name for method in comparison.methods if method.weights == 'random']
    summary = None
    if comparison.runs:
        summary = summarise(comparison.runs, comparison.classes, options.resamples, untrained=untrained)
    reference = 'uscl' if 'uscl' in names else names[-1]
    lesions = describe_detection(options)
    measures = measured(comparison.rows)
    facts = {
        'command': command,
        'pretraining': {field.name: getattr(options, field.name) for field in fields(CommonSettings)},
        'evaluation': options.eval_data,
        'detection': lesions,
        'protocol': options.protocol,
        'folds': options.folds,
        'metrics': 'by video, pooled over folds' + (f', by {summary["honest_selection"]}' if summary else ''),
    } | machine_facts()
    content = {'facts': facts, 'rows': [row.as_dict(measures) for row in comparison.rows], 'summary': summary}
    write_text(out / 'results.json', json.dumps(content, indent=1, ensure_ascii=False) + '\n')
    write_text(out / 'table.md', f'{code(command)}\n\n{comparison_table(comparison.rows, summary, reference, lesions)}')
    if summary is not None:
        values = {name: {method: comparison.measures(method, name) for method in names} for name in measures}
        save_picture(comparison_figure(summary, highlight=reference, measures=values), out / 'table.png')
