"""The reader for a clip, whatever it is stored as: a video, a DICOM file, an image or a folder of images."""

import math
from collections.abc import Iterator
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
        """After an iteration, what was found.

        ``frames_decoded``, those not given included; of a video or a DICOM file also ``frame_rate`` (nominal) and
        ``frame_rate_assumed`` (whether it states neither times nor a rate, and 25 was taken).
        """

    def __iter__(self) -> 'Iterator[np.ndarray]':
        """Decode the clip.

        Raises:
            ClipError: It is not what it seems to be, damaged or cut short; names the file, the fault and the remedy.
        """


def open_clip(path: str | Path, fps: float | None = None) -> Clip:
    """Open a clip, whatever it is stored as.

    What ends in .dcm or .dicom is DICOM, and so is what has no suffix (or digits as one) and DICOM's mark in it; .png,
    .jpg, .jpeg, .bmp, .tif and .tiff are images, of which the first page is taken; all else is a video, GIF included,
    if FFmpeg recognises it.

    Args:
        path: A video, a DICOM file, an image or a folder that directly holds images.
        fps: Keep the first frame of every interval of ``1 / fps`` seconds; None keeps every frame. Folders are always
            kept whole: they hold the frames that somebody chose.

    Returns:
        An iterable of frames, see :class:`Clip`.

    Raises:
        ClipError: There is nothing at ``path``, or neither a file nor a folder.
        ValueError: ``fps`` is not above 0.
    """
    from .clip_reader import ClipReader  # here, for PyAV takes time that importing this package should not
    from .dicom_reader import DicomReader
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
    if is_dicom(path):
        return DicomReader(path, fps)
    return ImageFile(path) if path.suffix.lower() in IMAGE_SUFFIXES else ClipReader(path, fps)
