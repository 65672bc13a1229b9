"""Balanced accuracy against the number of labelled patients."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from uscl.reports.figures import DARK, METHOD_STYLES, new_figure, shorten, tidy
from uscl.stats.evaluation_summary import summarise

from .stored_results import StoredResults


def label_curve_figure(curve: Mapping[int | None, StoredResults], title: str) -> Figure:
    """One line per method: mean over seeds with its 95 % interval over patients and seeds.

    Args:
        curve: Patients of each class, None for all, in this order → results with the same methods.
        title: States what was pretrained and tested.
    """
    figure = new_figure(6, 3.8)
    axes = figure.subplots()
    numbers = [number for number in curve if number is not None]
    places = np.array([*numbers, 2 * numbers[-1]], dtype=float)
    found = [summarise(each.predictions(), each.classes, 2000)['levels']['video']['results'] for each in curve.values()]
    for k, method in enumerate(found[0]):
        colour, line = METHOD_STYLES[k % len(METHOD_STYLES)]
        values = [results[method]['fixed']['metrics']['balanced_accuracy'] for results in found]
        mean, low, high = (100 * np.array([value[key] for value in values], float) for key in ('mean', 'low', 'high'))
        axes.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(places, mean, color=colour, linestyle=line, marker='o', markersize=3.5, label=shorten(method, 40))
    axes.set_xscale('log', base=2)
    axes.xaxis.set_major_locator(FixedLocator(places.tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([*map(str, numbers), 'all'])
    axes.legend(frameon=False, fontsize=8.5, labelcolor=DARK)
    tidy(axes, title, 'Labelled patients of each class', 'Balanced accuracy by video, %', grid='y')
    return figure
