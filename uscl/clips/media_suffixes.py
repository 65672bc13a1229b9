"""The suffixes of files that can be read, in lower case; DICOM is also recognised by its content."""

from pathlib import Path

# fmt: off
CLIP_SUFFIXES = frozenset({
    '.mp4', '.m4v', '.mov', '.qt', '.3gp', '.3g2', '.f4v', '.flv', '.avi', '.divx', '.gif', '.mkv', '.webm', '.ogv',
    '.wmv', '.asf', '.mpeg', '.mpg', '.mpe', '.m1v', '.m2v', '.vob', '.ts', '.mts', '.m2ts', '.m2t', '.mxf',
})
# fmt: on
DICOM_SUFFIXES = frozenset({'.dcm', '.dicom'})
IMAGE_SUFFIXES = frozenset({'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'})
STACK_SUFFIXES = ('.nii', '.nii.gz', '.nrrd', '.nhdr', '.mha', '.mhd')
READ_SUFFIXES = CLIP_SUFFIXES | DICOM_SUFFIXES | IMAGE_SUFFIXES | frozenset(STACK_SUFFIXES)


def stack_suffix(path: Path) -> str | None:
    """The one of :data:`STACK_SUFFIXES` that ends a name, in any case, or None."""
    name = path.name.lower()
    return next((suffix for suffix in STACK_SUFFIXES if name.endswith(suffix)), None)
