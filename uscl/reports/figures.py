"""Figures of a pretraining run: training curves, positive pairs, and how the features separate videos.

All are built with matplotlib's object-oriented interface on the Agg canvas: no display, no global state, except that
texts between dollar signs are no formulas in this process. Sizes are in inches, for a page about 10 inches wide.
"""

from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from uscl.core.atomic_files import write_atomically

PICTURE_SUFFIXES = ('.png', '.jpg', '.pdf', '.svg')
BLUE, ORANGE, GREY, DARK = '#0b6e99', '#c8553d', '#9aa5b1', '#323f4b'
# Colours and line styles of methods, in order; they repeat after six.
METHOD_STYLES = (
    *((BLUE, '-'), (ORANGE, (0, (5, 1.5))), ('#2f855a', (0, (2, 1)))),
    *(('#7b4ea3', (0, (6, 1.5, 1, 1.5))), ('#b7791f', '-'), ('#4a5568', (0, (5, 1.5)))),
)
matplotlib.rcParams['text.parse_math'] = False  # names of classes, clips and methods are no formulas

_PANELS = (  # log key, title, colour
    ('loss', 'Total loss', DARK),
    ('loss_contrastive', 'Contrastive loss (NT-Xent)', BLUE),
    ('loss_cls', 'Classification loss (weighted)', ORANGE),
    ('accuracy', 'Accuracy on labelled videos', ORANGE),
    ('lr', 'Learning rate', GREY),
)


def new_figure(width: float, height: float, hspace: float = 0.02) -> Figure:
    """An empty figure with its own canvas and automatic layout.

    Args:
        width: In inches.
        height: In inches.
        hspace: Space between rows of panels, as a fraction of a panel's height.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.07, hspace=hspace)  # pads in inches
    figure = Figure(figsize=(width, height), layout=layout, facecolor='white')
    FigureCanvasAgg(figure)
    return figure


def check_picture(path: str | Path) -> None:
    """Reject a file name that no figure can be saved under, before any work is done.

    Raises:
        ValueError: The suffix is unknown, or the path is a folder.
    """
    if Path(path).suffix.lower() not in PICTURE_SUFFIXES or Path(path).is_dir():
        raise ValueError(f'{path} should be a file name ending in {", ".join(PICTURE_SUFFIXES)}.')


def save_picture(figure: Figure, path: str | Path, dpi: int = 150) -> None:
    """Write a figure atomically, in the format given by the suffix; the folder is created if needed.

    Raises:
        ValueError: See :func:`check_picture`.
    """
    check_picture(path)
    kind = Path(path).suffix[1:].lower()
    write_atomically(path, lambda temporary: figure.savefig(temporary, format=kind, dpi=dpi))


def tidy(axes: Axes, title: str = '', xlabel: str = '', ylabel: str = '', grid: str | None = None) -> None:
    """Title and label a panel, remove the upper and right frame lines and tone down the rest.

    Args:
        axes: The panel, drawn.
        title: Title above the panel, aligned left.
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis.
        grid: Faint lines behind the curves at the ticks of one axis, 'x' or 'y', or of 'both'; None draws none.
    """
    axes.set_title(title, fontsize=10.5, color=DARK, loc='left')
    axes.set_xlabel(xlabel, fontsize=9, color=DARK)
    axes.set_ylabel(ylabel, fontsize=9, color=DARK)
    if grid is not None:
        axes.grid(axis=grid, color='#e1e6eb', linewidth=0.8)  # type: ignore[arg-type]
        axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    axes.spines[['left', 'bottom']].set_color(GREY)
    axes.tick_params(colors=DARK, labelsize=9)


def loss_curves(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], batch_size: int | None = None) -> Figure:
    """Training curves, one panel per quantity.

    Args:
        curves: Log key → iterations (n,) and values (n,), see :func:`uscl.reports.training_log.read_scalars`. Known
            keys are ``loss``, ``loss_contrastive``, ``loss_cls``, ``accuracy`` and ``lr``; missing ones are skipped.
        batch_size: Number of videos N per batch of the contrastive loss. Marks log(2N - 1), the loss if each of the
            other 2N - 1 views in the batch is equally likely to be the partner.

    Returns:
        The figure.

    Raises:
        ValueError: None of the known keys is present.
    """
    panels = [panel for panel in _PANELS if len(curves.get(panel[0], ((), ()))[1])]
    if [key for key, _, _ in panels][:2] == ['loss', 'loss_contrastive'] and 'loss_cls' not in curves:
        panels = panels[1:]  # the total would just repeat the only term
    if not panels:
        raise ValueError(f'The log has none of {[key for key, _, _ in _PANELS]}, only {sorted(curves)}.')
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = new_figure(3.4 * columns if columns > 1 else 5, 2.5 * rows)
    for position, (key, title, colour) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, position + 1)
        iterations, values = curves[key]
        draw_curve(axes, iterations, values, colour, is_noisy=key != 'lr')
        tidy(axes, title, 'Iteration')
        if key == 'accuracy':
            axes.set_ylim(-2, 102) if values.max() > 1 else axes.set_ylim(-0.02, 1.02)
        elif key == 'lr':
            axes.set_ylim(0, 1.08 * max(values.max(), 1e-12))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.ticklabel_format(axis='y', style='plain')
        if key == 'loss_contrastive' and batch_size is not None:
            chance = log(2 * batch_size - 1)
            axes.axhline(chance, color=DARK, linewidth=1, linestyle=(0, (4, 3)))
            place = (0.99, chance), (0, 3), ('axes fraction', 'data'), 'offset points'
            text = f'chance: log(2·{batch_size} − 1) = {chance:.2f}'
            axes.annotate(text, *place, ha='right', fontsize=8.5, color=DARK)
            axes.margins(y=0.16)
    return figure


def draw_curve(
    axes: Axes, iterations: np.ndarray, values: np.ndarray, colour: str, label: str = '', is_noisy: bool = True
) -> None:
    """Draw what a run logged by iteration: smoothed, with the values themselves behind it, if it is noisy."""
    smoothed = smooth(values) if is_noisy else values
    if smoothed is not values:
        axes.plot(iterations, values, color=colour, alpha=0.25, linewidth=0.8)
    marker = 'o' if len(values) == 1 else None
    axes.plot(iterations, smoothed, color=colour, linewidth=1.8, marker=marker, label=label or None)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def smooth(values: np.ndarray) -> np.ndarray:
    """Centred moving average over 1/25 of the points, shortened at the ends; short curves are returned unchanged."""
    half = len(values) // 50
    if half < 1 or not np.isfinite(values).all():
        return values
    kernel = np.ones(2 * half + 1)
    return np.convolve(values, kernel, 'same') / np.convolve(np.ones_like(values), kernel, 'same')


def similarity_histograms(
    similarities: Mapping[str, tuple[np.ndarray, np.ndarray]], bins: int = 60, notes: Mapping[str, str] | None = None
) -> Figure:
    """Cosine similarities within and between videos, one panel per network, on a common axis.

    Both histograms in a panel have area 1, regardless of the number of pairs. The mean of each is marked.

    Args:
        similarities: Network name → ``intra`` (P,) and ``inter`` (Q,); either may be empty.
        bins: Number of bins over the range of all values.
        notes: Network name → a few words to add to the panel's title.

    Returns:
        The figure.

    Raises:
        ValueError: There are no similarities.
    """
    every = np.concatenate([values for pair in similarities.values() for values in pair])
    if not len(every):
        raise ValueError('There are no pairs of frames to compare.')
    high = min(1.0, float(every.max()) + 1e-6)
    edges = np.linspace(min(float(every.min()), high - 0.02), high, bins + 1)
    figure = new_figure(8.6, 1.9 * len(similarities) + 0.6)
    panels = figure.subplots(len(similarities), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, pair) in zip(panels, similarities.items(), strict=True):
        for values, label, colour in zip(pair, ('same video', 'different videos'), (BLUE, ORANGE), strict=True):
            if not len(values):
                continue
            mean = float(values.mean())
            style = {'histtype': 'stepfilled', 'linewidth': 1.1, 'facecolor': f'{colour}70', 'edgecolor': colour}
            axes.hist(values, bins=edges, density=True, **style, label=f'{label}, mean {mean:.3f}')
            axes.axvline(mean, color=colour, linewidth=1.8, linestyle=(0, (4, 2)))
        extra = (notes or {}).get(name, '')
        axes.set_yticks([])
        axes.legend(loc='upper left', frameon=False, fontsize=9, labelcolor=DARK)
        axes.margins(x=0.01)
        tidy(axes, f'{name}{": " if extra else ""}{extra}', ylabel='density')
    panels[-1].set_xlabel('Cosine similarity of two frames', fontsize=9.5, color=DARK)
    return figure


def triplet_sheet(rows: Sequence[Mapping]) -> Figure:
    """How sample pair generation makes two views of a video: one row per video.

    Args:
        rows: Dicts with ``video_id`` (str), ``frames`` (one to three (H, W, 3) uint8 RGB images in time order; the
            second of three is the anchor), ``views`` (one or two (S, S, 3) uint8) and ``mix_ratios`` ((ξ1, ξ2), or
            empty if nothing was mixed).

    Returns:
        The figure.

    Raises:
        ValueError: There are no rows.
    """
    if not rows:
        raise ValueError('There are no videos to show.')
    # hspace leaves room for the lines below the images, which the layout ignores
    figure = new_figure(9.4, 0.1 + 2.2 * len(rows), hspace=0.1)
    cells = figure.subplots(len(rows), 6, squeeze=False, width_ratios=[1, 1, 1, 0.16, 1, 1])
    for cell in cells.flat:
        cell.set_axis_off()
    for panels, row in zip(cells, rows, strict=True):
        frames, views = row['frames'], row['views']
        sources = _mixtures(row['mix_ratios'], len(frames), len(views))
        anchor = 'x2, the anchor' if row['mix_ratios'] else 'x2'
        same = ' = '.join(['x1', 'x2', 'x3'][: 3 if len(views) == 2 else 1])
        names = {1: [same], 2: ['x1', 'x2']}.get(len(frames), ['x1', anchor, 'x3'])
        for axes, frame, name in zip(panels, frames, names, strict=False):
            axes.imshow(frame)
            axes.set_title(name, fontsize=9.5, color=DARK)
        write_below(panels[0], shorten(row['video_id'], 80), DARK)
        panels[3].text(0.5, 0.5, '→', transform=panels[3].transAxes, fontsize=20, color=DARK, ha='center', va='center')
        for number, (axes, view, source) in enumerate(zip(panels[4:], views, sources, strict=False), start=1):
            axes.imshow(view)
            axes.set_title(f'view {number}', fontsize=9.5, color=BLUE)
            write_below(axes, source, BLUE)
    return figure


def write_below(axes: Axes, text: str, colour: str) -> None:
    """Write a line of text below an image, left-aligned."""
    written = axes.text(0, -0.03, text, transform=axes.transAxes, fontsize=8.5, color=colour, va='top')
    written.set_in_layout(False)  # otherwise a long name would push the columns apart


def _mixtures(ratios: Sequence[float], frames: int, views: int) -> list[str]:
    """Formula of each view."""
    if len(ratios) == 2:
        return [_mixture(ratios[0], 'x1'), _mixture(ratios[1], 'x3')]
    if frames == 3:
        return [''] * views  # only the pipeline knows which frames were used
    return ['x1', 'x2' if frames == 2 else 'x1'][:views]


def _mixture(ratio: float, frame: str) -> str:
    return f'{ratio:.2f}·{frame} + {1 - ratio:.2f}·x2'


def shorten(text: str, limit: int) -> str:
    """Shorten to the end of a text, which distinguishes clips in one folder, after an ellipsis."""
    return text if len(text) <= limit else '…' + text[1 - limit :]
