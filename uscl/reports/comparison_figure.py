"""Compare methods side by side: one metric, with its interval and a point for each seed."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uscl.stats.summary_tables import METRIC_NAMES, percent

from .figures import BLUE, DARK, GREY, ORANGE, new_figure, tidy

PANELS = ('box AP', 'mask AP')  # for detectors


def comparison_figure(
    summary: Mapping[str, Any],
    metric: str = 'accuracy',
    highlight: str | None = None,
    measures: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
) -> Figure:
    """One line per method: mean over seeds, 95 % interval over patients and seeds, and the seeds as rings.

    Args:
        summary: See :func:`uscl.stats.evaluation_summary.summarise`; its video level is shown.
        metric: One of its metrics.
        highlight: Method to show in another colour.
        measures: Detector metrics, name → method → one value in [0, 1] per seed; those in :data:`PANELS` are shown
            alongside.

    Returns:
        The figure.
    """
    beside = {name: values for name, values in (measures or {}).items() if name in PANELS}
    level = summary['levels']['video']
    selection = summary['honest_selection']
    found = {method: by[selection]['metrics'][metric] for method, by in level['results'].items()}
    figure = new_figure(7.5 + 2.4 * len(beside), 0.42 * len(found) + 1.2)
    axes, *others = figure.subplots(1, 1 + len(beside), squeeze=False, width_ratios=[3] + [1.3] * len(beside))[0]
    for line, (method, values) in enumerate(found.items()):
        if values['mean'] is None:
            continue
        colour = ORANGE if method == highlight else BLUE
        if values['low'] is not None:
            axes.plot([100 * values['low'], 100 * values['high']], [line, line], color=colour, lw=2.2, alpha=0.45)
        _mark(axes, line, [value for value in values['by_seed'].values() if value is not None], values['mean'], colour)
        number = {'xycoords': ('axes fraction', 'data'), 'va': 'center', 'color': DARK, 'fontsize': 9}
        axes.annotate(percent(values['mean']), (1.01, line), **number)
    if (chance := level['chance'][metric]) is not None:
        axes.axvline(100 * chance, color=GREY, lw=1, ls=(0, (4, 3)), zorder=0)
        always = {'ha': 'center', 'va': 'bottom', 'color': GREY, 'fontsize': 8}
        axes.annotate(f'always “{level["majority"]}”', (100 * chance, -0.72), **always)
    title = f'{METRIC_NAMES[metric]} by video (%): mean, 95 % interval over patients and seeds, and each seed'
    _frame(axes, title, list(found))
    for other, (name, values) in zip(others, beside.items(), strict=True):
        for line, method in enumerate(found):
            if seeds := values.get(method, []):
                _mark(other, line, seeds, fmean(seeds), ORANGE if method == highlight else BLUE)
        _frame(other, f'{name} (%), last epoch', [''] * len(found))
        highest = max((value for method in found for value in values.get(method, [])), default=0.0)
        other.set_xlim(0, max(1.0, 110 * highest))  # from zero, because AP on few scans is small and noisy
    return figure


def _mark(axes: Axes, line: int, seeds: Sequence[float], mean: float, colour: str) -> None:
    axes.plot([100 * value for value in seeds], [line] * len(seeds), 'o', mfc='white', mec=colour, ms=5.5, mew=1.2)
    axes.plot([100 * mean] * 2, [line - 0.3, line + 0.3], color=colour, lw=2.4)


def _frame(axes: Axes, title: str, names: Sequence[str]) -> None:
    axes.set_ylim(len(names) - 0.4, -0.75)
    axes.set_yticks(range(len(names)), names)
    tidy(axes, xlabel=title)
    axes.grid(axis='x', color=GREY, alpha=0.25, lw=0.6)
