"""One image as a clip of one frame."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from uscl.core.errors import ClipError

from .frame_folder import read_frame


class ImageFile:
    """Iterate over the one frame of an image file, which is as in a :class:`~uscl.clips.frame_folder.FrameFolder`.

    Args:
        path: The file.

    Attributes:
        times: None.
        facts: After iteration, ``frames_decoded``.

    Raises:
        ClipError: While iterating: the image does not decode completely or is too large.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.times: list[float] | None = None
        self.facts: dict = {}

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            frame = read_frame(self.path)
        except ValueError as error:
            raise ClipError(self.path, f'not an image that can be read ({error}): copy or download it again') from error
        yield frame
        self.facts = {'frames_decoded': 1}
