"""One door to a clip: readers of video, DICOM and folders of images; how they are found and prepared."""

from .readers import open_clip

__all__ = ['open_clip']
