"""Two-dimensional maps of features, coloured by video or by class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.manifold import TSNE

from uscl.stats.cohesion import normalise

from .figures import DARK, GREY, new_figure, shorten

MAX_NAMED = 20  # videos that colour and number can distinguish
_POINT: dict[str, Any] = {'marker': 'o', 'markersize': 6}
# Ten dark colours, then ten light ones: neighbours in the list differ in hue, and the numbers separate equal hues.
COLOURS = (
    *('#0b6e99', '#c8553d', '#2f855a', '#7b4ea3', '#b7791f', '#d53f8c', '#4a5568', '#00838f', '#7c5e10', '#9b1c1c'),
    *('#63b3ed', '#f6a58a', '#68d391', '#b794f4', '#f6d365', '#f9a8d4', '#a0aec0', '#5fd3dc', '#c9b458', '#f98080'),
)


def embed(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Lay out features in the plane by t-SNE with cosine geometry, initialised by PCA.

    Rows are L2-normalised, so that Euclidean neighbours are cosine neighbours. The perplexity is 30, or a third of the
    number of other frames if that is less. Distances between distant groups have no meaning.

    Args:
        features: (N, C) finite real numbers.
        seed: Seed of the layout.

    Returns:
        (N, 2) float32. Fewer than four frames, or identical frames, cannot be laid out: all are placed at the origin.
    """
    unit = normalise(np.asarray(features, dtype=np.float64))
    if len(unit) < 4 or np.ptp(unit, axis=0).max(initial=0) < 1e-9:
        return np.zeros((len(unit), 2), dtype=np.float32)
    if unit.shape[1] < 2:
        unit = np.pad(unit, ((0, 0), (0, 1)))
    perplexity = min(30.0, (len(unit) - 1) / 3)
    # scikit-learn needs a two-component PCA; a constant column makes that possible for any input.
    return TSNE(n_components=2, init='pca', perplexity=perplexity, random_state=seed).fit_transform(unit)


def feature_maps(
    maps: Mapping[str, np.ndarray],
    video: np.ndarray,
    held_out: np.ndarray,
    video_ids: Sequence[str],
    classes: Sequence[str | None] | None = None,
) -> Figure:
    """Maps side by side, one point per frame, with another marker for held-out frames.

    Up to twenty videos get a colour and a number each. With more, points are coloured by class if known, otherwise by
    the video's position in the list, and videos are not listed.

    Args:
        maps: Network name → (N, 2) positions, see :func:`embed`.
        video: (N,) integers in [0, V), the video of each frame.
        held_out: (N,) booleans, true for held-out frames.
        video_ids: V video ids.
        classes: Class of each of the V videos, None if unknown; or None if no class is known.

    Returns:
        The figure.
    """
    by_video = len(video_ids) <= MAX_NAMED
    known = sorted({name for name in classes or () if name is not None})
    group, names, colours = _groups(video, video_ids, classes, known)
    figure = new_figure(5.0 * len(maps), 5.0)
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (name, positions) in zip(panels, maps.items(), strict=True):
        colour = np.array(colours, dtype=object)[group]
        for mask, marker in ((~held_out, 'o'), (held_out, '^')):
            style = {'s': 16, 'alpha': 0.5, 'linewidths': 0} if marker == 'o' else {'s': 30, 'linewidths': 0.5}
            axes.scatter(*positions[mask].T, c=list(colour[mask]), marker=marker, edgecolors='white', **style)
        if by_video:
            _number(axes, positions, video, len(video_ids), colours)
        style_map(axes, name)
    handles = [legend_entry(DARK, 'gallery frame', alpha=0.5, markersize=4.5)]
    if held_out.any():
        handles.append(legend_entry(DARK, 'held-out frame', marker='^'))
    handles += [legend_entry(colours[k], name, marker='s', markersize=7) for k, name in enumerate(names)]
    legend_below(figure, handles, 3 if by_video else 5)
    return figure


def style_map(axes: Axes, title: str) -> None:
    """Set the title and the frame of a map, which has no scale."""
    axes.set_title(title, fontsize=10.5, color=DARK, loc='left')
    axes.set(xticks=[], yticks=[])
    axes.margins(0.06)
    axes.spines[:].set_color(GREY)


def legend_entry(colour: Any, label: str, **style: Any) -> Line2D:
    """A line of a legend: what a point of this colour is."""
    return Line2D([], [], color=colour, label=label, linestyle='', **{**_POINT, **style})


def ramp(count: int) -> list[tuple]:
    """So many colours, neighbours alike, for groups that have an order or are too many to be told apart."""
    return [tuple(row) for row in colormaps['turbo'](np.linspace(0.03, 0.97, count))]


def legend_below(figure: Figure, handles: Sequence[Line2D], columns: int) -> None:
    """Put a legend below square panels and set the figure height to fit both."""
    figure.legend(
        handles=handles,
        loc='outside lower center',
        ncols=min(columns, len(handles)),
        frameon=False,
        fontsize=8.5,
        labelcolor=DARK,
        handletextpad=0.3,
        columnspacing=1.4,
    )
    figure.set_figheight(4.6 + 0.21 * -(-len(handles) // columns))


def _groups(
    video: np.ndarray, video_ids: Sequence[str], classes: Sequence[str | None] | None, known: Sequence[str]
) -> tuple[np.ndarray, list[str], list]:
    """Group of each point, legend names (empty for no legend), and group colours."""
    if len(video_ids) <= MAX_NAMED:
        names = [f'{number}  {shorten(name, 40)}' for number, name in enumerate(video_ids, start=1)]
        return video, names, list(COLOURS[: len(names)])
    if classes is not None and 0 < len(known) <= MAX_NAMED:
        names = [*known, *(['no label'] if None in classes else [])]
        of_video = np.array([names.index('no label' if name is None else name) for name in classes])
        return of_video[video], names, [*COLOURS[: len(known)], '#cbd2d9'][: len(names)]
    return video, [], ramp(len(video_ids))


def _number(axes: Axes, positions: np.ndarray, video: np.ndarray, count: int, colours: Sequence) -> None:
    """Write each video's number beside the frame nearest to the centre of its frames."""
    for number in range(count):
        own = positions[video == number]
        if not len(own):
            continue
        x, y = own[np.linalg.norm(own - np.median(own, axis=0), axis=1).argmin()]
        box = {'boxstyle': 'round,pad=0.15', 'facecolor': 'white', 'edgecolor': colours[number], 'alpha': 0.85}
        label = axes.annotate(str(number + 1), (x, y), xytext=(10, 9), textcoords='offset points', bbox=box, zorder=5)
        label.set(fontsize=7.5, color=DARK, ha='center', va='center')
