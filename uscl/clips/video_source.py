"""One video of a source folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class VideoSource:
    """One video of the source, found but not yet opened.

    Attributes:
        video_id: Path relative to the source, with '/', in Unicode's composed form (NFC).
        path: The video, DICOM file, image or folder of frames.
        label: Class name; None if unlabelled.
        patient_id: None if unknown.
        split: Such as 'train'; None if not given.
        problem: Why it cannot be converted, if that is already known.
        is_name_hidden: Whether ``video_id`` is a hash, so that the names in ``path`` must not be written anywhere.
    """

    video_id: str
    path: Path
    label: str | None = None
    patient_id: str | None = None
    split: str | None = None
    problem: str | None = None
    is_name_hidden: bool = False
