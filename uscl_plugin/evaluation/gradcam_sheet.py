"""A sheet of class activation maps: one row per frame, one column per classifier."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from uscl.convert.videos.store_settings import StoreSettings
from uscl.reports.figures import DARK, GREY, new_figure, shorten, write_below
from uscl.reports.prediction_tables import FAR
from uscl_plugin.measures.backbone_health import spread_evenly

from .classifier import FrameClassifier
from .gradcam import find_class, map_frame

_HEAT = 'plasma'


@dataclass(frozen=True)
class MappedFrame:
    """One frame of a clip with the map of a class.

    Attributes:
        picture: (H, W, 3) uint8, RGB, as the frame is prepared before it is resized for the network.
        heat: (S, S) float32 in [0, 1]; it covers the whole picture.
        title: Class and probability of the clip, number and time of the frame, in lines.
        note: What else the reader should know; may be empty.
    """

    picture: np.ndarray
    heat: np.ndarray
    title: str
    note: str


def map_clip(
    path: str | Path,
    classifier: FrameClassifier,
    settings: StoreSettings | None = None,
    num: int = 1,
    target: str | None = None,
    method: str = 'gradcam',
) -> list[MappedFrame]:
    """Map frames of a clip.

    Args:
        path: See :func:`uscl.clips.open_clip`.
        classifier: The classifier.
        settings: See :meth:`~.classifier.FrameClassifier.prepare`.
        num: Largest number of frames, evenly spaced among those that are used for the prediction; one is the middle.
        target: Class to map, by name or index; None takes the one that is predicted for the clip.
        method: One of :data:`~.gradcam.METHODS`.

    Raises:
        ClipError: The clip does not exist or cannot be read.
        ValueError: There is no class ``target``, or the backbone has no feature map.
    """
    clip = classifier.prepare(path, settings)
    row, classes = classifier.predict(clip), classifier.classes
    best = row['predicted']
    mapped = best if target is None else classes[find_class(classes, target)]
    found = []
    for k in _middle_or_spread(len(clip.frames), num):
        result = map_frame(classifier, clip.pixels[k], classes.index(mapped), method)
        time = '' if clip.times is None else f', {clip.times[k]:.2f} s'
        title = f'{best} {row["probabilities"][best]:.3f}\nframe {k + 1} of {row["frames"]}{time}'
        alone = int(result.probabilities.argmax())
        notes = [
            FAR if row['unusual'] else '',
            f'map of {mapped} {row["probabilities"][mapped]:.3f}' if mapped != best else '',
            'empty map' if not result.heat.any() else '',  # no evidence for the class
            f'this frame alone: {classes[alone]} {result.probabilities[alone]:.2f}' if classes[alone] != best else '',
        ]
        found.append(MappedFrame(clip.frames[k], result.heat, title, '\n'.join(filter(None, notes))))
    return found


def heat_sheet(rows: Sequence[tuple[str, Mapping[str, MappedFrame]]]) -> Figure:
    """Draw each frame and, for each classifier, its map on top, with the prediction above it.

    Args:
        rows: Name of a clip, and classifier → map of one of its frames; the first frame is also shown without a map.

    Returns:
        The figure.

    Raises:
        ValueError: There are no rows.
    """
    if not rows:
        raise ValueError('There are no frames to show.')
    names = list(rows[0][1])
    lines = max((found.note.count('\n') for _, maps in rows for found in maps.values()), default=0)
    height = 2.75 + 0.14 * lines  # room for the lines below the pictures, which the layout ignores
    figure = new_figure(2.3 * (1 + len(names)), height * len(rows) + 0.75, hspace=0.12 + 0.08 * lines)
    cells = figure.subplots(len(rows), 1 + len(names), squeeze=False)
    for panels, (clip, maps) in zip(cells, rows, strict=True):
        is_first = panels[0] is cells[0, 0]
        for axes in panels:
            axes.set_axis_off()
        panels[0].imshow(next(iter(maps.values())).picture)
        panels[0].set_title('image' if is_first else '', fontsize=9.5, color=DARK)
        write_below(panels[0], shorten(clip, 36), DARK)
        for axes, (name, found) in zip(panels[1:], maps.items(), strict=True):
            axes.imshow(found.picture)
            # More heat is more opaque, so that the anatomy stays visible where nothing was found.
            extent = (-0.5, found.picture.shape[1] - 0.5, found.picture.shape[0] - 0.5, -0.5)
            axes.imshow(found.heat, cmap=_HEAT, alpha=0.15 + 0.5 * found.heat, vmin=0, vmax=1, extent=extent)
            head = f'{shorten(name, 30)}\n' if is_first else ''
            axes.set_title(head + found.title, fontsize=9.5, color=DARK)
            write_below(axes, found.note, DARK)
    _add_legend(figure, cells)
    return figure


def _middle_or_spread(count: int, num: int) -> Iterator[int]:
    yield from [count // 2] if num == 1 else spread_evenly(count, num)


def _add_legend(figure: Figure, cells: np.ndarray) -> None:
    """A bar with its words above and below it, so that they have room however narrow the sheet is."""
    pad = 0.35 / figure.get_figheight()  # for the line below the last row of images
    shrink = min(1, 2.6 / figure.get_figwidth())
    bar = figure.colorbar(
        ScalarMappable(cmap=_HEAT), ax=list(cells.flat), location='bottom', shrink=shrink, aspect=26, pad=pad
    )
    bar.set_ticks([0, 1], labels=['least', 'most'])
    bar.ax.tick_params(colors=DARK, labelsize=8.5, length=0)
    bar.ax.set_title('evidence for the class, scaled per map', fontsize=8.5, color=DARK, pad=3)
    bar.ax.spines['outline'].set_edgecolor(GREY)
