"""The reader for a clip, whatever it is stored as: a video, a DICOM file, a stack, an image or a folder of images."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from uscl.core.errors import ClipError

from .dicom_header import is_dicom
from .frame_limits import MOST_FRAMES, check_size
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
        for images (a TIFF with pages, too): when they were taken is not known.
        """

    @property
    def facts(self) -> dict:
        """After an iteration, what was found, as plain values.

        ``frames_decoded``: int, those not given included. A key that does not apply is left out:

        - ``frame_rate``: float, nominal, of a video or a DICOM file.
        - ``assumed``: list of str, what the source does not say, such as ``'frame rate'`` (25 was taken).
        - ``turned``: str, how the frames were turned to stand upright, such as ``'rotated 90°'`` (clockwise),
          ``'mirrored'``, or ``'mirrored (2 of 9)'`` if not all were.
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

    What ends in .dcm or .dicom is DICOM, and so is what begins as DICOM does and has no suffix of another kind; .png,
    .jpg, .jpeg, .bmp, .tif, .tiff and .webp are images, whose pages are frames; .nii, .nii.gz, .nrrd, .nhdr, .mha and
    .mhd are stacks (see :class:`~uscl.clips.stack_file.StackFile`); all else is a video, GIF included, if FFmpeg
    recognises it. More than :data:`~uscl.clips.frame_limits.MOST_FRAMES` frames, or larger ones than
    :data:`~uscl.clips.frame_limits.LARGEST_FRAME`, are refused.

    Args:
        path: A video, a DICOM file, a stack, an image or a folder that directly holds images.
        fps: Keep the first frame of every interval of ``1 / fps`` seconds; None keeps every frame. Images and folders
            are always kept whole, see :func:`is_kept_whole`.
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
    from .stack_file import StackFile, stack_suffix

    path = Path(path)
    if fps is not None and not 0 < fps < math.inf:
        raise ValueError(f'fps should be above 0, got {fps}: give frames a second, or None for every frame.')
    try:
        if path.is_dir():
            return _LimitedClip(FrameFolder(path))
        if not path.exists():
            raise ClipError(path, 'it does not exist: check the path')
        if not path.is_file():  # opening a pipe would wait for ever
            raise ClipError(path, 'neither a file nor a folder: give a clip')
    except OSError as error:  # a name that is too long, a folder above it that may not be read
        raise ClipError(path, f'it cannot be found ({error.strerror}): check the path and its rights') from error
    if path.is_dir():
        return _LimitedClip(FrameFolder(path))
    if is_kept_whole(path):
        return _LimitedClip(ImageFile(path))
    reader = StackFile if stack_suffix(path) else DicomReader if is_dicom(path) else ClipReader
    open_at = partial(reader, path)
    return _LimitedClip(open_at(fps) if fps is None or at_least <= 1 else EnoughFrames(open_at, fps, at_least))


def is_kept_whole(path: Path) -> bool:
    """Whether a clip has no clock, so that all frames are kept: a folder of images, or an image, with pages or not."""
    return path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES


class _LimitedClip:
    """A clip that stops with an error where it would give more, or larger, frames than the limits allow.

    Args:
        clip: What reads it.

    Raises:
        ClipError: While iterating: more than :data:`MOST_FRAMES` frames, or one above :data:`LARGEST_FRAME`.
    """

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self.path: Path = clip.path

    @property
    def times(self) -> list[float] | None:
        """See :class:`Clip`."""
        return self._clip.times

    @property
    def facts(self) -> dict:
        """See :class:`Clip`."""
        return self._clip.facts

    def __iter__(self) -> 'Iterator[np.ndarray]':
        for number, frame in enumerate(self._clip):
            if number == MOST_FRAMES:
                raise ClipError(
                    self.path, f'more than the {MOST_FRAMES} frames that are read of a clip: cut it, or lower the fps'
                )
            try:
                check_size(frame.shape[1], frame.shape[0])
            except ValueError as error:
                raise ClipError(self.path, f'wrong size: {error}; make it smaller') from error
            yield frame
