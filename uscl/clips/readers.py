"""The reader for a video: a clip, a DICOM file, or a folder of images."""

from pathlib import Path

from .clip_reader import ClipReader
from .dicom_header import is_dicom
from .dicom_reader import DicomReader
from .frame_folder import FrameFolder


def open_reader(path: str | Path, fps: float = 3.0) -> ClipReader | DicomReader | FrameFolder:
    """An iterable of RGB frames (H, W, 3), uint8, that has ``facts`` afterwards and raises ClipError.

    Args:
        path: A clip, a DICOM file or a folder of images.
        fps: Frames to keep in a second; folders are kept whole.
    """
    path = Path(path)
    if path.is_dir():
        return FrameFolder(path)
    return DicomReader(path, fps) if is_dicom(path) else ClipReader(path, fps)
