"""Read clips (video, DICOM, stacks, images) through :func:`open_clip`; find them in folders; prepare their frames."""

from .readers import open_clip

__all__ = ['open_clip']
