"""What a run reported on held-out videos, epoch by epoch, beside its training loss."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .contrastive_curves import Curves
from .figures import BLUE, DARK, GREY, new_figure, tidy

_TITLES = {
    'contrastive': 'Contrastive loss, held out',
    'auroc': 'AUROC, same against different videos',
    'retrieval': 'Nearest frame is of the same video',
    'knn': 'kNN with labels',
    'gap': 'Gap between mean similarities',
    'effective_rank': 'Effective rank',
}
_SHARES = ('auroc', 'retrieval', 'knn')  # in [0, 1]
_CHANCE = {'auroc': 0.5, 'gap': 0.0}


def held_out_curves(held_out: Curves, training: Curves) -> Figure | None:
    """One panel per held-out measure, after one with the mean training loss of each epoch.

    Args:
        held_out: Measure → epochs (n,) and values (n,), see :func:`uscl.reports.training_log.read_held_out`. Unknown
            measures have their own name as title.
        training: Log key → iterations (n,) and values (n,), with ``epoch`` and ``loss_contrastive`` or ``loss``;
            without them, the first panel is left out.

    Returns:
        The figure; None if nothing was held out.
    """
    if not held_out:
        return None
    keys = [*(key for key in _TITLES if key in held_out), *sorted(held_out.keys() - _TITLES.keys())]
    panels = {_TITLES.get(key, key.replace('_', ' ')): (key, held_out[key]) for key in keys}
    name = 'loss_contrastive' if 'loss_contrastive' in training else 'loss'
    if name in training and 'epoch' in training:
        title = 'Contrastive loss, training' if name == 'loss_contrastive' else 'Training loss'
        panels = {title: (name, _by_epoch(training['epoch'], training[name]))} | panels
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = new_figure(3.4 * columns if columns > 1 else 5, 2.5 * rows)
    last = max(epochs.max() for _, (epochs, _) in panels.values())
    for place, (title, (key, curve)) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        if key in _CHANCE:
            axes.axhline(_CHANCE[key], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(*curve, color=DARK if key == name else BLUE, linewidth=1.8, marker='o', markersize=3)
        axes.set_xlim(0, 1.03 * last)
        if key in _SHARES:
            axes.set_ylim(-0.03, 1.03)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        tidy(axes, title, 'Epoch')
    return figure


def _by_epoch(
    epoch: tuple[np.ndarray, np.ndarray], loss: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Epochs, and the mean of the losses logged in each."""
    of_step = dict(zip(*epoch, strict=True))
    known = [(of_step[step], value) for step, value in zip(*loss, strict=True) if step in of_step]
    epochs = np.unique([number for number, _ in known])
    return epochs, np.array([np.mean([value for number, value in known if number == one]) for one in epochs])
