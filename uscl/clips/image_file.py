"""One image file as a clip: one frame, or its pages."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from uscl.core.errors import ClipError

from .image_opening import decode_page, find_range, iter_pages, reason_of


class ImageFile:
    """Iterate over the frames of an image file: the pages of a TIFF, an animated PNG or WebP, else one.

    Each frame is what :func:`~uscl.clips.image_opening.decode_page` makes of it, deep grey on one scale for all.
    Nothing is sampled, as no clock is read.

    Args:
        path: The file.

    Attributes:
        times: None: when the images were taken is not known.
        facts: After iteration, ``frames_decoded``, and ``turned`` and ``rescaled`` where that was done.

    Raises:
        ClipError: While iterating: an image that does not decode completely, is of another format or is too large.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.times: list[float] | None = None
        self.facts: dict = {}

    def list_files(self) -> list[Path]:
        """The image files in the order of the clip."""
        return [self.path]

    def __iter__(self) -> Iterator[np.ndarray]:
        files = self.list_files()
        limits = self._find_range(files)
        turns: Counter[str] = Counter()
        depths: set[str] = set()
        count = 0
        for file in files:
            with self._naming(file):
                for number, page in enumerate(iter_pages(file)):
                    if number and file != self.path:
                        raise ClipError(
                            self.path,
                            f'image {file.name} has several pages, so it is a clip of its own: give it by itself, and '
                            f'take it out of the folder',
                        )
                    frame, turned, depth = decode_page(page, limits)
                    turns.update([turned] if turned else [])
                    depths.update([depth] if depth else [])
                    count += 1
                    yield frame
        self.facts = {'frames_decoded': count}
        if turns:
            some = [how if number == count else f'{how} ({number} of {count})' for how, number in turns.items()]
            self.facts['turned'] = ', '.join(some)
        if depths:
            self.facts['rescaled'] = sorted(depths)

    def _find_range(self, files: list[Path]) -> tuple[float, float] | None:
        ranges = []
        for file in files:
            with self._naming(file):
                ranges.append(find_range(iter_pages(file)))
        found = [limits for limits in ranges if limits is not None]
        return (min(low for low, _ in found), max(high for _, high in found)) if found else None

    @contextmanager
    def _naming(self, file: Path) -> Iterator[None]:
        try:
            yield
        except ClipError:
            raise
        except Exception as error:
            raise ClipError(self.path, self._unreadable(file, reason_of(error))) from error

    def _unreadable(self, file: Path, reason: str) -> str:
        return f'not an image that can be read ({reason}): copy or download it again'
