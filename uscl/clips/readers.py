"""The reader for a clip, whatever it is stored as: a video, a DICOM file, a stack, an image or a folder of images."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from uscl.core.errors import ClipError

from .dicom_header import is_dicom
from .media_suffixes import IMAGE_SUFFIXES, stack_suffix

if TYPE_CHECKING:
    from .clip import Clip


def open_clip(path: str | Path, fps: float | None = None, at_least: int = 1, third_axis_time: bool = False) -> 'Clip':
    """Open a clip, whatever it is stored as.

    Files ending in .dcm or .dicom are DICOM, and so are files that begin like DICOM and do not have the suffix of
    another kind; .png, .jpg, .jpeg, .bmp, .tif, .tiff and .webp are images, whose pages are frames; .nii, .nii.gz,
    .nrrd, .nhdr, .mha and .mhd are stacks (see :class:`~uscl.clips.stack_file.StackFile`); anything else is a video,
    including GIF, if FFmpeg recognises it. A clip with more than :data:`~uscl.clips.frame_limits.MOST_FRAMES` frames,
    or frames larger than :data:`~uscl.clips.frame_limits.LARGEST_FRAME`, is refused.

    Args:
        path: A video, a DICOM file, a stack, an image or a folder that directly holds images.
        fps: Keep the first frame of every interval of ``1 / fps`` seconds; None keeps every frame. Images and folders
            are always kept whole, see :func:`is_kept_whole`.
        at_least: If ``fps`` gives fewer frames, take this many, evenly spaced, or all if there are no more.
        third_axis_time: Take the third axis of a stack for time where its header does not say what it is.

    Returns:
        An iterable of frames, see :class:`~uscl.clips.clip.Clip`.

    Raises:
        ClipError: ``path`` does not exist, or is neither a file nor a folder.
        ValueError: ``fps`` is not above 0.
    """
    from .clip_reader import ClipReader  # here: importing PyAV takes time
    from .dicom_reader import DicomReader
    from .frame_folder import FrameFolder
    from .image_file import ImageFile
    from .stack_file import StackFile

    path = Path(path)
    if fps is not None and not 0 < fps < math.inf:
        raise ValueError(f'fps should be above 0, got {fps}: give frames per second, or None for every frame.')
    try:
        if path.is_dir():
            return FrameFolder(path)
        if not path.exists():
            raise ClipError(path, 'it does not exist: check the path')
        if not path.is_file():  # opening a pipe would wait forever
            raise ClipError(path, 'it is neither a file nor a folder: give a clip')
    except OSError as error:  # the name is too long, or a parent folder may not be read
        raise ClipError(path, f'it cannot be found ({error.strerror}): check the path and its rights') from error
    if is_kept_whole(path):
        return ImageFile(path)
    if stack_suffix(path):
        return StackFile(path, fps, at_least, third_axis_time)
    return (DicomReader if is_dicom(path) else ClipReader)(path, fps, at_least)


def is_kept_whole(path: Path) -> bool:
    """Whether a clip has no clock, so that all frames are kept: an image, with pages or not, or a folder of images."""
    return path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES
