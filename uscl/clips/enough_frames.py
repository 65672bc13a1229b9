"""At least some frames of a clip, however short it is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .clip_reader import ClipReader
    from .dicom_reader import DicomReader
    from .stack_file import StackFile


class EnoughFrames:
    """Iterate over a clip's frames at a steady rate, or, where these are too few, over evenly spaced ones.

    A clip too short for its rate is decoded a second time. Of any other, no more than ``count`` frames are held.

    Args:
        open_at: Opens the clip at a number of frames a second, or, for None, with every frame.
        fps: Frames to keep in a second.
        count: Fewest frames to give, from the first to the last, or all if the clip has no more; at least 2.

    Attributes:
        path: See :class:`uscl.clips.readers.Clip`; so ``times`` and ``facts``.
    """

    def __init__(
        self, open_at: 'Callable[[float | None], ClipReader | DicomReader | StackFile]', fps: float, count: int
    ) -> None:
        self._open_at = open_at
        self._fps = fps
        self._count = count
        self.path: Path = open_at(fps).path
        self.times: list[float] = []
        self.facts: dict = {}

    def __iter__(self) -> Iterator[np.ndarray]:
        clip = self._open_at(self._fps)
        held: list[np.ndarray] = []
        enough = False
        for frame in clip:
            held.append(frame)
            enough |= len(held) == self._count
            if enough:
                yield from held
                held = []
        if enough or len(held) == clip.facts['frames_decoded']:
            yield from held
            self.times, self.facts = clip.times, clip.facts
        else:
            yield from self._spread(clip.facts['frames_decoded'])

    def _spread(self, decoded: int) -> Iterator[np.ndarray]:
        chosen = np.linspace(0, decoded - 1, min(self._count, decoded)).round().astype(int).tolist()
        clip = self._open_at(None)
        for index, frame in enumerate(clip):
            if index in chosen:
                yield frame
        self.times = [clip.times[index] for index in chosen]
        fps = (len(chosen) - 1) / (self.times[-1] - self.times[0])
        self.facts = clip.facts | {'short_clip_fps': round(fps, 6)}
