"""Every suffix by which a file is read as a clip; names without one may be DICOM, too."""

from .clip_reader import CLIP_SUFFIXES
from .dicom_header import DICOM_SUFFIXES
from .image_opening import IMAGE_SUFFIXES
from .stack_file import STACK_SUFFIXES

READ_SUFFIXES = CLIP_SUFFIXES | DICOM_SUFFIXES | IMAGE_SUFFIXES | STACK_SUFFIXES
