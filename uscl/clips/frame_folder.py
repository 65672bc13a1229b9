"""A folder of images as one video."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from uscl.core.errors import ClipError
from uscl.core.natural_order import natural_key

IMAGE_SUFFIXES = frozenset({'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff'})
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


class FrameFolder:
    """Iterate over all frames of a folder of images in natural order.

    Each frame is an RGB array (H, W, 3), uint8; 16-bit grey images keep their upper eight bits. Subfolders and other
    files are ignored. Nothing is sampled: such folders hold the frames that somebody chose.

    Args:
        path: The folder.

    Attributes:
        facts: After iteration, ``frames_decoded``.

    Raises:
        ClipError: While iterating: no image in it, or an image that does not decode completely or is too large.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.facts: dict = {}

    def list_files(self) -> list[Path]:
        """The image files in the order of the video."""
        try:
            files = [file for file in self.path.iterdir() if is_frame(file) and file.is_file()]
        except OSError as error:
            raise ClipError(self.path, f'the folder cannot be opened ({error.strerror})') from error
        return sorted(files, key=lambda file: natural_key(file.name))

    def __iter__(self) -> Iterator[np.ndarray]:
        files = self.list_files()
        if not files:
            raise ClipError(self.path, f'the folder holds no image ({", ".join(sorted(IMAGE_SUFFIXES))})')
        for file in files:
            try:
                with Image.open(file) as image:
                    check_size(image.width, image.height)
                    frame = _to_rgb(image)
            except Exception as error:  # each of Pillow's decoders has its own; MemoryError for what claims to be large
                what = str(error) or type(error).__name__
                raise ClipError(
                    self.path, f'image {file.name} cannot be read ({what}): replace or remove it'
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
