"""A folder of images as one video."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from uscl.core.errors import ClipError
from uscl.core.natural_order import natural_key

from .media_suffixes import IMAGE_SUFFIXES

# Pixels of a frame, enough for 8K video: a few hundred bytes may claim to be billions, which would fill the memory.
LARGEST_FRAME = 1 << 25


def is_frame(path: Path) -> bool:
    """Whether a path names a visible image file of a kind read here (by its name alone)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def check_size(width: int, height: int) -> None:
    """Refuse frames that would fill the memory, before they are decoded.

    Raises:
        ValueError: It has more than :data:`LARGEST_FRAME` pixels.
    """
    if width * height > LARGEST_FRAME:
        raise ValueError(f'it claims {width} x {height} pixels, more than the {LARGEST_FRAME} that are read')


def read_frame(path: Path) -> np.ndarray:
    """Decode an image file completely.

    Returns:
        RGB, (H, W, 3), uint8; 16-bit grey keeps its upper eight bits, transparency is dropped, and an orientation in
        the metadata is not applied.

    Raises:
        ValueError: It cannot be decoded, or is too large.
    """
    try:
        with Image.open(path) as image:
            check_size(image.width, image.height)
            return _to_rgb(image)
    except Exception as error:  # each of Pillow's decoders has its own; MemoryError for what claims to be large
        raise ValueError(str(error) or type(error).__name__) from error


class FrameFolder:
    """Iterate over all frames of a folder of images in natural order.

    Each frame is what :func:`read_frame` makes of it. Subfolders and other files are ignored. Nothing is sampled: such
    folders hold the frames that somebody chose.

    Args:
        path: The folder.

    Attributes:
        times: None: when the images were taken is not known.
        facts: After iteration, ``frames_decoded``.

    Raises:
        ClipError: While iterating: no image in it, or an image that does not decode completely or is too large.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.times: list[float] | None = None
        self.facts: dict = {}

    def list_files(self) -> list[Path]:
        """The image files in the order of the video."""
        try:
            files = [file for file in self.path.iterdir() if is_frame(file) and file.is_file()]
        except OSError as error:
            raise ClipError(
                self.path, f'the folder cannot be opened ({error.strerror}): check the path and its rights'
            ) from error
        return sorted(files, key=lambda file: natural_key(file.name))

    def __iter__(self) -> Iterator[np.ndarray]:
        files = self.list_files()
        if not files:
            suffixes = ', '.join(sorted(IMAGE_SUFFIXES))
            raise ClipError(self.path, f'the folder holds no image ({suffixes}): give one that directly holds images')
        for file in files:
            try:
                frame = read_frame(file)
            except ValueError as error:
                raise ClipError(
                    self.path, f'image {file.name} cannot be read ({error}): replace or remove it'
                ) from error
            yield frame
        self.facts = {'frames_decoded': len(files)}


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith('I'):  # 16 bits a pixel, which convert() would clip to white
        grey = np.clip(np.asarray(image, dtype=np.int64) >> 8, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == 'F':
        raise ValueError('floating-point pixels; store 8-bit images')
    return np.array(image.convert('RGB'))
