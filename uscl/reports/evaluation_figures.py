"""Figures for a cross-validated classifier: confusion matrices, ROC curves and a forest plot of its metrics."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from sklearn.metrics import auc, roc_curve

from uscl.stats.classification import METRICS
from uscl.stats.predictions import Predictions
from uscl.stats.summary_tables import METRIC_NAMES, percent, selection_title

from .figures import BLUE, DARK, GREY, METHOD_STYLES, new_figure, tidy

_SHADES = LinearSegmentedColormap.from_list('shades', ['#ffffff', BLUE])
_FALSE_POSITIVE_RATES = np.linspace(0, 1, 1001)


def confusion_matrices(matrices: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Confusion matrices side by side, at most three in a row; true classes in rows.

    Each cell shows the percentage of its row, and the count. Rows without labels are left blank.

    Args:
        matrices: Method name → (C, C) counts.
        classes: Names of the C classes.
    """
    columns = min(len(matrices), 3)
    rows = -(-len(matrices) // columns)
    size = max(2.6, 0.62 * len(classes) + 1.1)
    figure = new_figure(size * columns + 0.6, size * rows + 0.4, hspace=0.06)
    for position, (name, counts) in enumerate(matrices.items()):
        counts = np.asarray(counts)
        axes = figure.add_subplot(rows, columns, position + 1)
        total = counts.sum(axis=1, keepdims=True)
        shares = counts / np.maximum(total, 1)
        axes.imshow(shares, cmap=_SHADES, vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            colour = 'white' if shares[row, column] > 0.55 else DARK
            text = f'{percent(shares[row, column], 0)} %\n' if total[row, 0] else ''
            axes.text(column, row, f'{text}{count:,.0f}', ha='center', va='center', fontsize=9, color=colour)
        axes.set_title(name, fontsize=10.5, color=DARK, loc='left', wrap=True)
        axes.set_xticks(range(len(classes)), classes, rotation=30, ha='right', rotation_mode='anchor')
        axes.set_yticks(range(len(classes)), classes if position % columns == 0 else [''] * len(classes))
        axes.set_xlabel('Predicted', fontsize=9, color=DARK)
        if position % columns == 0:
            axes.set_ylabel('True', fontsize=9, color=DARK)
        axes.tick_params(length=0, colors=DARK, labelsize=9)
        axes.spines[:].set_visible(False)
    return figure


def roc_curves(runs: Mapping[str, Sequence[Predictions]], classes: Sequence[str]) -> Figure:
    """One-vs-rest ROC curves, one panel per class.

    The thick line is the mean over seeds of the sensitivity at each false positive rate, not a curve of pooled scores,
    since networks with different seeds have different scales; thin lines are single seeds. The AUROC in the legend is
    the mean over seeds. The panel stays empty for a class that has no labels or all of them.

    Args:
        runs: Method name → predictions, one per seed.
        classes: Names of the C classes.
    """
    columns = min(len(classes), 3)
    rows = -(-len(classes) // columns)
    figure = new_figure(3.3 * columns, (3.5 + 0.17 * len(runs)) * rows, hspace=0.04)
    for k, label in enumerate(classes):
        axes = figure.add_subplot(rows, columns, k + 1)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        for (name, seeds), (colour, line) in zip(runs.items(), cycle(METHOD_STYLES), strict=False):
            found = [curve for curve in (_roc(run, k) for run in seeds) if curve is not None]
            if not found:
                continue
            curves, areas = zip(*found, strict=True)
            if len(curves) > 1:
                for curve in curves:
                    axes.plot(*curve, color=colour, linewidth=0.7, alpha=0.35)
            sensitivity = np.mean([np.interp(_FALSE_POSITIVE_RATES, *curve) for curve in curves], axis=0)
            mean = np.r_[0, _FALSE_POSITIVE_RATES], np.r_[0, sensitivity]
            text = f'{_shorten(name)}, AUROC {percent(float(np.mean(areas)))} %'
            axes.plot(*mean, color=colour, linestyle=line, linewidth=2, label=text)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect='equal')
        tidy(axes, label, '1 − specificity', 'Sensitivity' if k % columns == 0 else '')
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MultipleLocator(0.25))
        if axes.get_legend_handles_labels()[1]:
            # Below the panel, because curves near the diagonal would cross it inside.
            place = {'loc': 'upper left', 'bbox_to_anchor': (-0.02, -0.17)}
            axes.legend(**place, frameon=False, fontsize=8.5, labelcolor=DARK, borderpad=0)
        else:
            axes.text(0.5, 0.5, 'undefined', ha='center', color=DARK, fontsize=9)
    return figure


def forest_plot(summary: Mapping, level: str) -> Figure:
    """Every metric of every method and selection: mean, 95 % interval over patients and seeds, and one ring per seed.

    Args:
        summary: See :func:`uscl.stats.evaluation_summary.summarise`.
        level: ``'frame'`` or ``'video'``.
    """
    found = summary['levels'][level]
    rows = [
        (selection, method, colour)
        for selection in summary['selections']
        for method, (colour, _) in zip(found['results'], cycle(METHOD_STYLES), strict=False)
        if selection in found['results'][method]
    ]
    # Leave a gap between selections, and room above each for its name.
    heights, height, before = [], 0.0, None
    for selection, _, _ in rows:
        height += 1.0 if selection == before else 2.0
        heights.append(height)
        before = selection
    figure = new_figure(10, 0.31 * height + 1.0)
    panels = figure.subplots(1, len(METRICS), sharex=True, sharey=True)
    for axes, metric in zip(panels, METRICS, strict=True):
        if found['chance'][metric] is not None:
            axes.axvline(100 * found['chance'][metric], color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        for (selection, method, colour), at in zip(rows, heights, strict=True):
            _interval(axes, found['results'][method][selection]['metrics'][metric], at, colour)
        tidy(axes, METRIC_NAMES[metric], '%', grid='x')
        axes.spines['left'].set_visible(False)
        axes.tick_params(axis='y', length=0)
    panels[0].set_ylim(height + 0.7, 0.4)
    panels[0].set_yticks(heights, [_shorten(method) for _, method, _ in rows])
    for (selection, _, _), at in zip(rows, heights, strict=True):
        if at - 1 not in heights:
            style = {'fontsize': 9, 'color': DARK, 'fontweight': 'bold', 'ha': 'right', 'va': 'center'}
            place = (0, at - 1), (-4, 0), ('axes fraction', 'data'), 'offset points'
            panels[0].annotate(selection_title(selection), *place, annotation_clip=False, **style)
    return figure


def _interval(axes: Axes, estimate: Mapping, at: float, colour: str) -> None:
    if estimate['mean'] is None:
        return
    if estimate['low'] is not None:
        axes.plot([100 * estimate['low'], 100 * estimate['high']], [at, at], color=colour, linewidth=2.2, zorder=1)
    seeds = [100 * value for value in estimate['by_seed'].values() if value is not None]
    ring: dict[str, Any] = {'s': 17, 'facecolors': 'white', 'edgecolors': colour, 'linewidths': 0.9}
    axes.scatter(seeds, np.full(len(seeds), at + 0.33), zorder=2, **ring)  # below the line, which would hide them
    axes.scatter([100 * estimate['mean']], [at], s=34, marker='D', color=colour, zorder=3)


def _roc(run: Predictions, k: int) -> tuple[tuple[np.ndarray, np.ndarray], float] | None:
    """False positive rates and sensitivities for class k, and the area under the curve; None if undefined."""
    positive = run.labels == k
    if positive.all() or not positive.any():
        return None
    false, true, _ = roc_curve(positive, run.probabilities[:, k])
    return (false, true), float(auc(false, true))


def _shorten(text: str, limit: int = 26) -> str:
    return text if len(text) <= limit else text[: limit - 1] + '…'
