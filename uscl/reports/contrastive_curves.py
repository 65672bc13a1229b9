"""Pair statistics during contrastive pretraining, as a figure."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from .figures import BLUE, DARK, ORANGE, draw_curve, new_figure, tidy

Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]

_PANELS = (  # title; log keys with their label and colour
    (
        'Similarity of projections',
        (('positive_similarity', 'positive pairs', BLUE), ('negative_similarity', 'negative pairs', ORANGE)),
    ),
    ('Spread of the representation', (('spread', '', DARK),)),
    ('Similarity conflict', (('similarity_conflict', '', ORANGE),)),
)


def contrastive_curves(curves: Curves) -> Figure | None:
    """Curves logged by :class:`uscl_plugin.hooks.ContrastiveMonitorHook`, one panel per measure.

    Args:
        curves: Log key → iterations (n,) and values (n,), see :func:`uscl.reports.training_log.read_scalars`. Missing
            keys are skipped.

    Returns:
        The figure; None if the log has none of the measures.
    """
    panels = [(title, [key for key in keys if key[0] in curves]) for title, keys in _PANELS]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return None
    figure = new_figure(3.4 * len(panels) if len(panels) > 1 else 5, 2.5)
    for axes, (title, keys) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for key, label, colour in keys:
            draw_curve(axes, *curves[key], colour, label)
        if keys[0][1]:
            axes.legend(frameon=False, fontsize=8.5, labelcolor=DARK)
        else:  # 0 is the reference for both measures
            top = np.nanmax(curves[keys[0][0]][1], initial=0.0)
            top = top if top > 0 else 0.1
            axes.set_ylim(-0.04 * top, 1.1 * top)
        tidy(axes, title, 'Iteration')
    return figure


def largest_conflict(curves: Curves) -> float | None:
    """The largest fraction of negative pairs from one video in a logged step; None if it was not logged."""
    values = curves.get('similarity_conflict', ((), np.empty(0)))[1]
    return float(np.max(values)) if len(values) else None
