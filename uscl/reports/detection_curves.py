"""Loss and AP50 of detectors by epoch, one colour per method."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from statistics import fmean

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .detection_runs import DetectionRun
from .figures import DARK, GREY, METHOD_STYLES, new_figure, shorten, tidy

Curve = Mapping[int, float]


def training_curves(methods: Mapping[str, Sequence[DetectionRun]]) -> Figure:
    """Panels of the loss, box AP50 and, if there are masks, mask AP50.

    Single runs are thin lines; the mean of a method, over the epochs that all its runs have, is a thick line.

    Args:
        methods: Name → its runs.
    """
    panels = {'Training loss': {name: [run.loss for run in runs] for name, runs in methods.items()}}
    for measure in ('box AP50', 'mask AP50'):
        curves = {
            name: [{epoch: 100 * value for epoch, value in run.measures.get(measure, {}).items()} for run in runs]
            for name, runs in methods.items()
        }
        if any(map(any, curves.values())):
            panels[f'{measure[0].upper()}{measure[1:]} on the test data, %'] = curves
    figure = new_figure(3.5 * len(panels) + 0.4, 3.3 + 0.2 * len(methods))
    for axes, (title, by_method) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for (name, runs), (colour, line) in zip(by_method.items(), cycle(METHOD_STYLES), strict=False):
            present = [run for run in runs if run]
            for run in present:
                axes.plot(*_points(run), color=colour, linewidth=0.8, alpha=0.45, marker=_marker(run), markersize=2.5)
            if mean := mean_curve(present):
                number = f'{len(present)} run{"s" if len(present) > 1 else ""}'
                style = {'color': colour, 'linestyle': line, 'linewidth': 2.2, 'marker': _marker(mean)}
                axes.plot(*_points(mean), label=f'{shorten(name, 28)}, {number}', markersize=4, **style)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        tidy(axes, title, 'Epoch', grid='y')
        if axes.lines:
            place = {'loc': 'upper left', 'bbox_to_anchor': (-0.02, -0.17)}
            axes.legend(**place, frameon=False, fontsize=8.5, labelcolor=DARK, borderpad=0)
        else:
            axes.text(0.5, 0.5, 'not logged', ha='center', color=GREY, transform=axes.transAxes)
    return figure


def mean_curve(runs: Sequence[Curve]) -> dict[int, float]:
    """Mean over runs at the epochs that all of them have."""
    common = set.intersection(*(set(run) for run in runs)) if runs else set()
    return {epoch: fmean(run[epoch] for run in runs) for epoch in sorted(common)}


def _points(curve: Curve) -> tuple[list[int], list[float]]:
    epochs = sorted(curve)
    return epochs, [curve[epoch] for epoch in epochs]


def _marker(curve: Curve) -> str:
    return 'o' if len(curve) < 3 else ''  # otherwise a run of one epoch would be invisible
