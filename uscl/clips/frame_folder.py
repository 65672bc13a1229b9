"""A folder of images as one video."""

from pathlib import Path

from uscl.core.errors import ClipError
from uscl.core.natural_order import natural_key

from .image_file import ImageFile
from .media_suffixes import IMAGE_SUFFIXES


def is_frame(path: Path) -> bool:
    """Whether a path names a visible image file that can be read (by its name alone)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


class FrameFolder(ImageFile):
    """A folder of images, one frame per file, in natural order.

    Subfolders and other files are ignored. All images are kept, since somebody has chosen them. An image with several
    pages is refused. Deep grey has one scale for the whole folder. Arguments, attributes and errors are those of
    :class:`~uscl.clips.clip.Clip`.
    """

    def list_files(self) -> list[Path]:
        """The image files in the order of the video.

        Raises:
            ClipError: The folder cannot be opened, or holds no image.
        """
        try:
            found = [file for file in self.path.iterdir() if is_frame(file)]
            files = [file for file in found if file.is_file() or not file.exists()]  # a link to nothing: a lost frame
        except OSError as error:
            raise ClipError(self.path, f'the folder cannot be opened ({error.strerror}): check its rights') from error
        if not files:
            suffixes = ', '.join(sorted(IMAGE_SUFFIXES))
            raise ClipError(self.path, f'the folder holds no image ({suffixes}): give one that directly holds images')
        return sorted(files, key=lambda file: natural_key(file.name))
