"""Methods side by side: a measure of each, with its interval and the point of every seed."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from uscl_plugin.evaluation.summary_tables import METRIC_NAMES, percent

from .figures import BLUE, DARK, GREY, ORANGE, new_figure, tidy


def comparison_figure(summary: Mapping[str, Any], metric: str = 'accuracy', highlight: str | None = None) -> Figure:
    """One line a method: mean over seeds, its 95 % interval over patients, and the seeds as rings.

    Args:
        summary: See :func:`uscl_plugin.evaluation.summary.summarise`; its videos are shown.
        metric: One of its metrics.
        highlight: Method in another colour.

    Returns:
        The figure.
    """
    level = summary['levels']['video']
    selection = summary['honest_selection']
    found = {method: by[selection]['metrics'][metric] for method, by in level['results'].items()}
    figure = new_figure(7.5, 0.42 * len(found) + 1.2)
    axes = figure.add_subplot()
    for line, (method, values) in enumerate(found.items()):
        if values['mean'] is None:
            continue
        colour = ORANGE if method == highlight else BLUE
        if values['low'] is not None:
            axes.plot([100 * values['low'], 100 * values['high']], [line, line], color=colour, lw=2.2, alpha=0.45)
        seeds = [100 * value for value in values['by_seed'].values() if value is not None]
        axes.plot(seeds, [line] * len(seeds), 'o', mfc='white', mec=colour, ms=5.5, mew=1.2)
        axes.plot([100 * values['mean']] * 2, [line - 0.3, line + 0.3], color=colour, lw=2.4)
        axes.annotate(
            percent(values['mean']),
            (1.01, line),
            xycoords=('axes fraction', 'data'),
            va='center',
            color=DARK,
            fontsize=9,
        )
    if (chance := level['chance'][metric]) is not None:
        axes.axvline(100 * chance, color=GREY, lw=1, ls=(0, (4, 3)), zorder=0)
        axes.annotate(
            f'always “{level["majority"]}”', (100 * chance, -0.72), ha='center', va='bottom', color=GREY, fontsize=8
        )
    axes.set_ylim(len(found) - 0.4, -0.75)
    axes.set_yticks(range(len(found)), list(found))
    axes.set_xlabel(f'{METRIC_NAMES[metric]} by video in per cent: mean, 95 % interval over patients, and every seed')
    axes.xaxis.label.set(color=DARK, fontsize=9)
    tidy(axes)
    axes.grid(axis='x', color=GREY, alpha=0.25, lw=0.6)
    return figure
