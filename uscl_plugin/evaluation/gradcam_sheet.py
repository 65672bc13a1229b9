"""A sheet of class activation maps: one row per image, one column per classifier."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from uscl.clips.frame_folder import FrameFolder, is_frame
from uscl.convert.videos.store_settings import StoreSettings
from uscl.core.errors import ClipError
from uscl.reports.figures import DARK, GREY, new_figure, shorten, write_below
from uscl_plugin.measures.backbone_health import spread_evenly

from .classifier import read_clip
from .gradcam import CamClassifier

_HEAT = 'plasma'


def read_images(
    sources: Sequence[str | Path], per_folder: int, skipped: Callable[[str], None], size: int = 256
) -> Iterator[tuple[str, np.ndarray]]:
    """Read videos, DICOM files, images and image folders, like :func:`~.classifier.read_clip`.

    Args:
        sources: Paths. A folder contributes at most ``per_folder`` images, evenly spaced in natural order; a video or a
            DICOM file contributes the middle one of the frames used for prediction.
        per_folder: Maximum number of images per folder, at least 1.
        skipped: Called with a sentence for each file that cannot be read and is skipped.
        size: Maximum length of a frame's shorter side in pixels.

    Yields:
        Name and (H, W, 3) uint8, BGR.
    """
    for source in map(Path, sources):
        try:
            if source.is_dir():
                files = FrameFolder(source).list_files()
                chosen = spread_evenly(len(files), per_folder)
                yield from read_images([files[k] for k in chosen], per_folder, skipped, size)
            else:
                frames = read_clip(source, StoreSettings(size=size))
                name = f'{source.parent.name}/{source.name}'.lstrip('/') if is_frame(source) else source.name
                yield name, np.ascontiguousarray(frames[len(frames) // 2][..., ::-1])
        except ClipError as error:
            skipped(str(error))


def heat_sheet(
    images: Sequence[tuple[str, np.ndarray]],
    classifiers: Mapping[str, CamClassifier],
    target: str | None = None,
    method: str = 'gradcam',
) -> Figure:
    """Draw each image and, for each classifier, the map of a class on top, with the prediction above it.

    Args:
        images: Images from :func:`read_images`.
        classifiers: Name → classifier.
        target: Class to map, by name or index; None maps what each classifier predicts.
        method: One of :data:`~uscl_plugin.evaluation.gradcam.METHODS`.

    Returns:
        The figure.

    Raises:
        ValueError: There are no images, or a classifier has no class ``target``.
    """
    if not images:
        raise ValueError('There are no images to show.')
    targets = {name: None if target is None else c.find_class(target) for name, c in classifiers.items()}
    columns = 1 + len(classifiers)
    width = 2.3 * columns
    figure = new_figure(max(width, 4.6), 2.5 * len(images) + 0.7, hspace=0.08)
    cells = figure.subplots(len(images), columns, squeeze=False)
    for row, (panels, (label, image)) in enumerate(zip(cells, images, strict=True)):
        for axes in panels:
            axes.set_axis_off()
        write_below(panels[0], shorten(label, 36), DARK)
        for column, (axes, (name, classifier)) in enumerate(zip(panels[1:], classifiers.items(), strict=True)):
            prepared = classifier.prepare(image)
            found = classifier.map_image(prepared, targets[name], method)
            picture = classifier.shown(image, prepared)
            if column == 0:
                panels[0].imshow(picture)
                panels[0].set_title('image' if row == 0 else '', fontsize=9.5, color=DARK)
            axes.imshow(picture)
            # More heat is more opaque, so that the anatomy stays visible where nothing was found.
            extent = (-0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5, -0.5)
            axes.imshow(found.heat, cmap=_HEAT, alpha=0.15 + 0.5 * found.heat, vmin=0, vmax=1, extent=extent)
            best = int(found.probabilities.argmax())
            text = f'{classifier.classes[best]} {found.probabilities[best]:.2f}'
            axes.set_title(f'{shorten(name, 30)}\n{text}' if row == 0 else text, fontsize=9.5, color=DARK)
            note = '' if found.heat.any() else 'empty map'  # no evidence for the class
            if found.target != best:
                note = f'{note or "map"} of {classifier.classes[found.target]} {found.probabilities[found.target]:.2f}'
            write_below(axes, note, DARK)
    pad = 0.35 / figure.get_figheight()  # for the line below the last row of images
    bar = figure.colorbar(
        ScalarMappable(cmap=_HEAT), ax=list(cells.flat), location='bottom', shrink=0.5, aspect=40, pad=pad
    )
    bar.set_ticks([0, 1], labels=['least', 'most'])
    bar.ax.tick_params(colors=DARK, labelsize=8.5, length=0)
    bar.set_label('evidence for the class, scaled per map', fontsize=8.5, color=DARK, labelpad=-8)
    bar.ax.spines['outline'].set_edgecolor(GREY)
    return figure
