"""The reader for a clip, whatever it is stored as: a video, a DICOM file, an image or a folder of images."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from uscl.core.errors import ClipError

from .dicom_header import is_dicom
from .media_suffixes import IMAGE_SUFFIXES

if TYPE_CHECKING:
    import numpy as np


class Clip(Protocol):
    """What :func:`open_clip` gives; it can be iterated over more than once.

    Every iteration decodes the clip from its start to its end, one frame at a time, and gives RGB arrays (H, W, 3),
    uint8; images of a folder may differ in size. Damage is reported after the last frame at the latest, so use nothing
    before the iteration has ended.
    """

    path: Path

    @property
    def times(self) -> list[float] | None:
        """After an iteration, the seconds at which the frames given are shown, strictly increasing.

        They are on the clip's own clock, which may start at any time, and start at 0 where the clip states none. None
        for images: when they were taken is not known.
        """

    @property
    def facts(self) -> dict:
        """After an iteration, what was found, as plain values.

        ``frames_decoded``: int, those not given included. A key that does not apply is left out:

        - ``frame_rate``: float, nominal, of a video or a DICOM file.
        - ``assumed``: list of str, what the source does not say, such as ``'frame rate'`` (25 was taken).
        - ``turned``: str, how the frames were turned to stand upright, such as ``'rotated 90°'`` (clockwise) or
          ``'mirrored'``.
        - ``rescaled``: list of str, what was changed in size or values, such as ``'pixel aspect 8:9'`` or
          ``'grey levels 0 to 4095'``.
        - ``short_clip_fps``: float, frames of a second that were kept, evenly spaced, where the rate asked for gave too
          few.
        """

    def __iter__(self) -> 'Iterator[np.ndarray]':
        """Decode the clip.

        Raises:
            ClipError: It is not what it seems to be, damaged or cut short; names the file, the fault and the remedy.
        """


def open_clip(path: str | Path, fps: float | None = None, at_least: int = 1) -> Clip:
    """Open a clip, whatever it is stored as.

    What ends in .dcm or .dicom is DICOM, and so is what begins as DICOM does and has no suffix of a video or an image;
    .png, .jpg, .jpeg, .bmp, .tif and .tiff are images, of which the first page is taken; all else is a video, GIF
    included, if FFmpeg recognises it.

    Args:
        path: A video, a DICOM file, an image or a folder that directly holds images.
        fps: Keep the first frame of every interval of ``1 / fps`` seconds; None keeps every frame. Folders are always
            kept whole: they hold the frames that somebody chose.
        at_least: Where ``fps`` gives fewer frames, take so many, evenly spaced, or all if there are no more.

    Returns:
        An iterable of frames, see :class:`Clip`.

    Raises:
        ClipError: There is nothing at ``path``, or neither a file nor a folder.
        ValueError: ``fps`` is not above 0.
    """
    from .clip_reader import ClipReader  # here, for PyAV takes time that importing this package should not
    from .dicom_reader import DicomReader
    from .enough_frames import EnoughFrames
    from .frame_folder import FrameFolder
    from .image_file import ImageFile

    path = Path(path)
    if fps is not None and not 0 < fps < math.inf:
        raise ValueError(f'fps should be above 0, got {fps}: give frames a second, or None for every frame.')
    try:
        if path.is_dir():
            return FrameFolder(path)
        if not path.exists():
            raise ClipError(path, 'it does not exist: check the path')
        if not path.is_file():  # opening a pipe would wait for ever
            raise ClipError(path, 'neither a file nor a folder: give a clip')
    except OSError as error:  # a name that is too long, a folder above it that may not be read
        raise ClipError(path, f'it cannot be found ({error.strerror}): check the path and its rights') from error
    dicom = is_dicom(path)
    if not dicom and path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFile(path)
    open_at = partial(DicomReader if dicom else ClipReader, path)
    return open_at(fps) if fps is None or at_least <= 1 else EnoughFrames(open_at, fps, at_least)
