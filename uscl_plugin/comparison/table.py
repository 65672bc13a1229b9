"""The comparison as a table: means over seeds with intervals, differences, costs, and every single run."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from uscl.core.escaping import for_markdown
from uscl.core.tables import markdown
from uscl.stats.summary_tables import METRIC_NAMES, describe_data, estimate, minus, percent

from .comparison import METRICS, Row


def comparison_table(
    rows: Sequence[Row], summary: Mapping[str, Any] | None, reference: str | None, detection: str | None = None
) -> str:
    """Markdown with all results so far.

    Args:
        rows: One per method and seed.
        summary: Summary of the finished rows, :func:`~uscl.stats.evaluation_summary.summarise`; None if there are none.
        reference: Method from which the others are subtracted.
        detection: A sentence on what the detector measures refer to.

    Returns:
        The text.
    """
    parts = []
    if summary is not None:
        parts += [
            f'Tested on {for_markdown(describe_data(summary))}, by video, chosen by {summary["honest_selection"]}. '
            'Each cell: mean over seeds (95 % interval over patients and seeds), SD: standard deviation over seeds. '
            'The intervals do not cover the choice of the pretraining data.',
            *([for_markdown(detection)] if detection else []),
            markdown(*_results(rows, summary)),
        ]
        header, differences = _differences(summary, reference)
        if differences:
            parts += [
                f'### {for_markdown(str(reference))} minus the others, percentage points (95 % interval)',
                markdown(header, differences),
            ]
    parts += ['### Every run', markdown(*_single_runs(rows))]
    return '\n\n'.join(parts) + '\n'


def measured(rows: Sequence[Row]) -> list[str]:
    """Names of the detector measures present in the rows."""
    return list(dict.fromkeys(name for row in rows for name in row.metrics if name not in METRICS))


def _results(rows: Sequence[Row], summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    detection = measured(rows)
    header = ['Method', 'Seeds', *(METRIC_NAMES[name] for name in METRICS), *detection]
    header += ['Steps', 'Views', 'Minutes per run']
    lines = []
    selection = summary['honest_selection']
    for method, by_selection in summary['levels']['video']['results'].items():
        own = [row for row in rows if row.method == method and row.metrics]  # its detector may have failed
        cells = [estimate(by_selection[selection]['metrics'][name]) for name in METRICS]
        cells += [_mean([row.metrics.get(name) for row in own]) for name in detection]
        steps = {row.steps for row in own if row.steps is not None}
        views = {row.views for row in own if row.views is not None}
        minutes = fmean(row.seconds for row in own) / 60 if own else 0.0
        lines.append([method, str(len(own)), *cells, _range(steps), _range(views), f'{minutes:.1f}'])
    chance = summary['levels']['video']['chance']
    always = [f'{percent(chance[name])} %' for name in METRICS]
    majority = summary['levels']['video']['majority']
    return header, [*lines, [f'Chance: always “{majority}”', '', *always, *[''] * (len(detection) + 3)]]


def _differences(summary: Mapping[str, Any], reference: str | None) -> tuple[list[str], list[list[str]]]:
    header, selection = ['Compared with', *(METRIC_NAMES[name] for name in METRICS)], summary['honest_selection']
    judged = [m for m, found in summary['levels']['video']['results'].items() if selection in found]
    lines = []
    for other in judged if reference in judged else []:
        if other != reference:
            found = minus(summary, 'video', selection, str(reference), other)
            lines.append([other, *(estimate(found[name], unit='', sign=True) for name in METRICS)])
    return header, lines


def _single_runs(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    detection = measured(rows)
    header = ['Method', 'Seed', *(METRIC_NAMES[name] for name in METRICS), *detection, 'Steps', 'Seconds', 'Status']
    lines = [
        [
            row.method,
            str(row.seed),
            *(percent(row.metrics.get(name)) for name in (*METRICS, *detection)),
            '–' if row.steps is None else str(row.steps),
            f'{row.seconds:.0f}',
            ' '.join(row.status.split()),  # an error may have several lines
        ]
        for row in rows
    ]
    return header, lines


def _mean(values: Sequence[float | None]) -> str:
    found = [value for value in values if value is not None]
    if not found:
        return '–'
    spread = {'mean': fmean(found), 'low': None, 'std': stdev(found) if len(found) > 1 else None}
    return estimate(spread) + f' (seeds: {len(found)})' * (len(found) < len(values))


def _range(values: set[int]) -> str:
    if not values:
        return '–'
    low, high = min(values), max(values)
    return f'{low:,}' if low == high else f'{low:,} to {high:,}'
