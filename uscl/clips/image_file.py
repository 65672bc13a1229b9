"""One image file as a clip: one frame, or its pages."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from uscl.core.errors import ClipError

from .clip import Clip
from .image_opening import decode_page, find_range, iter_pages, reason_of


class ImageFile(Clip):
    """An image file: the pages of a TIFF, an animated PNG or WebP, or a single frame; ``fps`` does not apply.

    Frames come from :func:`~uscl.clips.image_opening.decode_page`, with one scale for deep grey in the whole clip.
    Arguments, attributes and errors are those of :class:`~uscl.clips.clip.Clip`.
    """

    def list_files(self) -> list[Path]:
        """The image files in the order of the clip."""
        return [self.path]

    def decode(self, fps: float | None) -> Iterator[np.ndarray]:
        """Decode all pages of all files; see the class."""
        files = self.list_files()
        limits = self._find_range(files)
        turns: Counter[str] = Counter()
        depths: set[str] = set()
        count = 0
        for file in files:
            with self._naming(file):
                for number, page in enumerate(iter_pages(file)):
                    if number and file != self.path:
                        what = f'image {file.name} has several pages, so it is a clip by itself'
                        raise ClipError(self.path, f'{what}: take it out of the folder')
                    frame, turned, depth = decode_page(page, limits)
                    turns.update([turned] if turned else [])
                    depths.update([depth] if depth else [])
                    count += 1
                    yield frame
        turns_made = [how if number == count else f'{how} ({number} of {count})' for how, number in turns.items()]
        self.report(None, frames_decoded=count, turned=', '.join(turns_made), rescaled=sorted(depths))

    def _find_range(self, files: list[Path]) -> tuple[float, float] | None:
        limits: list[float] = []
        for file in files:
            with self._naming(file):
                limits += find_range(iter_pages(file)) or ()
        return (min(limits), max(limits)) if limits else None

    @contextmanager
    def _naming(self, file: Path) -> Iterator[None]:
        try:
            yield
        except ClipError:
            raise
        except Exception as error:
            what = 'it' if file == self.path else f'image {file.name}'
            raise ClipError(self.path, f'{what} cannot be read ({reason_of(error)}): replace or remove it') from error
