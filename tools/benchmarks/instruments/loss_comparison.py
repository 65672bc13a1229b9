"""Training losses of several variants of a run, over several seeds each."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from uscl.reports.figures import DARK, METHOD_STYLES, new_figure, shorten, tidy

Curve = tuple[np.ndarray, np.ndarray]  # iterations, values


def loss_comparison(variants: Mapping[str, Sequence[Curve]], title: str) -> Figure:
    """Mean loss of each variant over its seeds, and the range over seeds of the first variant.

    Args:
        variants: Name → one curve per seed, all with the same iterations.
        title: States what was trained.
    """
    figure = new_figure(8, 3.6)
    axes = figure.subplots()
    for k, (name, curves) in enumerate(variants.items()):
        colour, line = METHOD_STYLES[k % len(METHOD_STYLES)]
        iterations = curves[0][0]
        values = np.stack([curve[1] for curve in curves])  # (seeds, iterations)
        if k == 0:
            axes.fill_between(iterations, values.min(0), values.max(0), color=colour, alpha=0.18, linewidth=0)
        axes.plot(iterations, values.mean(0), color=colour, linestyle=line, linewidth=1.6, label=shorten(name, 40))
    axes.legend(frameon=False, fontsize=8.5, labelcolor=DARK)
    tidy(axes, title, 'Step', 'Loss, mean of the seeds', grid='y')
    return figure


def final_losses(curves: Sequence[Curve], share: float = 0.1) -> np.ndarray:
    """Mean loss over the last part of each curve.

    Args:
        curves: One curve per seed.
        share: Fraction of the curve, in (0, 1].

    Returns:
        (seeds,) float64.
    """
    return np.array([values[-max(1, round(share * len(values))) :].mean() for _, values in curves])
