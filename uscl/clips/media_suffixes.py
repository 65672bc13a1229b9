"""The suffixes of files that are read, in lower case; DICOM is also known by its content."""

# fmt: off
CLIP_SUFFIXES = frozenset({
    '.mp4', '.m4v', '.mov', '.qt', '.3gp', '.3g2', '.f4v', '.flv', '.avi', '.divx', '.gif', '.mkv', '.webm', '.ogv',
    '.wmv', '.asf', '.mpeg', '.mpg', '.mpe', '.m1v', '.m2v', '.vob', '.ts', '.mts', '.m2ts', '.m2t', '.mxf',
})
# fmt: on
DICOM_SUFFIXES = frozenset({'.dcm', '.dicom'})
IMAGE_SUFFIXES = frozenset({'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff'})


def list_suffixes(suffixes: frozenset[str]) -> str:
    """For messages.

    >>> list_suffixes(DICOM_SUFFIXES)
    'dcm dicom'
    """
    return ' '.join(sorted(suffix[1:] for suffix in suffixes))
