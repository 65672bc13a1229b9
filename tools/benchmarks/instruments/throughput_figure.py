"""Bar chart of the speed of loading, of the network and of both together."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from uscl.reports.figures import DARK, METHOD_STYLES, new_figure, tidy

_PANELS = {
    'loader': 'Loader only',
    'loader_preprocessor': 'Loader + preprocessor',
    'network': 'Network only',
    'end_to_end': 'End to end',
}


def throughput_figure(result: Mapping[str, Any], title: str) -> Figure:
    """One panel per figure, with its own axis from 0, and one bar per workload: median, and range of the repeats.

    Args:
        result: See :func:`.report.to_plain`.
        title: States what was timed on which data.

    Returns:
        The figure.
    """
    names = list(result['figures'])
    figure = new_figure(8.5, 1.2 + 2 * (0.75 + 0.3 * len(names)), hspace=0.08)
    figure.suptitle(title, fontsize=10.5, color=DARK)
    for position, (key, panel) in enumerate(_PANELS.items()):
        axes = figure.add_subplot(2, 2, position + 1)
        for row, name in enumerate(names):
            _bar(axes, row, result['figures'][name][key], METHOD_STYLES[row % len(METHOD_STYLES)][0])
        longest = max(result['figures'][name][key]['videos_per_second']['max'] for name in names)
        axes.set_xlim(0, (1.65 if key == 'end_to_end' else 1.3) * longest)  # room for the numbers
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        tidy(axes, panel, 'Videos per second: median and range' if position >= 2 else '', grid='x')
    handles = figure.axes[0].patches
    figure.legend(handles, names, loc='outside lower center', ncols=min(len(names), 2), frameon=False, fontsize=9)
    return figure


def _bar(axes: Axes, row: int, figure: Mapping[str, Any], colour: str) -> None:
    rate = figure['videos_per_second']
    axes.barh(row, rate['median'], height=0.8, color=colour, alpha=0.85)
    axes.plot([rate['min'], rate['max']], [row, row], color=DARK, lw=1.6, solid_capstyle='butt')
    text = f'{rate["median"]:.0f}' if rate['median'] >= 100 else f'{rate["median"]:.3g}'
    if 'waiting_share' in figure:
        text += f'  (waits {100 * figure["waiting_share"]["median"]:.0f} %)'
    place: dict[str, Any] = {'xytext': (5, 0), 'textcoords': 'offset points', 'va': 'center'}
    axes.annotate(text, (rate['max'], row), fontsize=8.5, color=DARK, **place)
