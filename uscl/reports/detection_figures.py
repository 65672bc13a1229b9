"""Curves of a detector: precision by recall, and sensitivity by false positives."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from .figures import BLUE, DARK, GREY, ORANGE, new_figure, tidy

_STYLES = ((BLUE, '-'), (ORANGE, (0, (5, 1.5))))
Curve = tuple[np.ndarray, np.ndarray]


def detection_curves(precision: Mapping[str, Curve], froc: Mapping[str, Curve]) -> Figure:
    """Two panels: precision by recall, and the free-response ROC curve.

    Args:
        precision: Name ('box', 'mask') → recalls (T,) and precisions (T,), all in [0, 1].
        froc: Name → false positives per image (T,), rising, and sensitivities (T,) in [0, 1].
    """
    figure = new_figure(8.6, 4.0)
    left, right = figure.subplots(1, 2)
    for (name, curve), (colour, line) in zip(precision.items(), _STYLES, strict=False):
        area = f'{100 * curve[1].mean():.1f} %'  # mean over COCO's equidistant recall levels
        left.plot(*curve, color=colour, linestyle=line, linewidth=2, label=f'{name}, AP50 {area}')
    for (name, curve), (colour, line) in zip(froc.items(), _STYLES, strict=False):
        right.step(*curve, where='post', color=colour, linestyle=line, linewidth=2, label=name)
    tidy(left, 'Precision and recall', 'Recall (sensitivity)', 'Precision', grid='both')
    left.set_xlim(-0.02, 1.02)
    left.xaxis.set_major_locator(MultipleLocator(0.25))
    tidy(right, 'Free-response ROC', 'False positives per image', 'Sensitivity', grid='both')
    right.set_xlim(-0.05, min(max([1.0, *(float(curve[0][-1]) for curve in froc.values())]), 5.0))
    for axes in (left, right):
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_locator(MultipleLocator(0.25))
        if axes.lines:
            place = {'loc': 'upper left', 'bbox_to_anchor': (-0.02, -0.16)}  # below, where no curve crosses it
            axes.legend(**place, ncols=2, frameon=False, fontsize=8.5, labelcolor=DARK, borderpad=0)
        else:
            axes.text(0.5, 0.5, 'not defined: no lesion', ha='center', color=GREY, transform=axes.transAxes)
    return figure
