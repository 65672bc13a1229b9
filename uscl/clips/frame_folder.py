"""A folder of images as one video."""

from pathlib import Path

from uscl.core.errors import ClipError
from uscl.core.natural_order import natural_key

from .image_file import ImageFile
from .media_suffixes import IMAGE_SUFFIXES


def is_frame(path: Path) -> bool:
    """Whether a path names a visible image file of a kind read here (by its name alone)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


class FrameFolder(ImageFile):
    """Iterate over all frames of a folder of images in natural order, one for each file.

    Subfolders and other files are ignored. Nothing is sampled: such folders hold the frames that somebody chose.

    Args:
        path: The folder.

    Attributes:
        times: None: when the images were taken is not known.
        facts: As of an :class:`~uscl.clips.image_file.ImageFile`; deep grey has one scale for the whole folder.

    Raises:
        ClipError: While iterating: no image in it, one with several pages, or one that does not decode completely, is
            of another format or is too large.
    """

    def list_files(self) -> list[Path]:
        """The image files in the order of the video.

        Raises:
            ClipError: The folder cannot be opened, or holds no image.
        """
        try:
            files = [file for file in self.path.iterdir() if is_frame(file) and file.is_file()]
        except OSError as error:
            raise ClipError(
                self.path, f'the folder cannot be opened ({error.strerror}): check the path and its rights'
            ) from error
        if not files:
            suffixes = ', '.join(sorted(IMAGE_SUFFIXES))
            raise ClipError(self.path, f'the folder holds no image ({suffixes}): give one that directly holds images')
        return sorted(files, key=lambda file: natural_key(file.name))

    def _unreadable(self, file: Path, reason: str) -> str:
        return f'image {file.name} cannot be read ({reason}): replace or remove it'
