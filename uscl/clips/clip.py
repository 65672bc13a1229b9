"""A clip: what all readers have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from uscl.core.errors import ClipError

from .frame_limits import MOST_FRAMES, LargeFrameError, check_size
from .frame_sampling import FrameSampler


class Clip(ABC):
    """The frames of a clip; it can be iterated over more than once.

    Every iteration decodes the clip from start to end, one frame at a time, and yields RGB arrays (H, W, 3), uint8;
    images of a folder may differ in size. Damage is reported after the last frame at the latest, so wait for the end of
    the iteration before you use any frame.

    Args:
        path: The clip.
        fps: Keep the first frame of every interval of ``1 / fps`` seconds; None keeps every frame. A clip with a lower
            rate is kept whole.
        at_least: If ``fps`` gives fewer frames, take this many, evenly spaced from the first to the last, or all if the
            clip has no more. The clip is then decoded a second time.

    Attributes:
        times: After an iteration, the seconds at which the frames are shown, strictly increasing, on the clip's own
            clock; from 0 if it states no times. None for images, also for a TIFF with pages.
        places: After an iteration, which of the source's frames they are, from 0.
        facts: After an iteration, what was found, as plain values. ``frames_decoded`` (int) includes frames that were
            not kept. Keys that do not apply are missing:

            - ``frame_rate``: float, nominal.
            - ``assumed``: list of str, what the source does not say, such as ``'frame rate'`` (25 was taken).
            - ``turned``: str, how the frames were turned upright, such as ``'rotated 90°'`` (clockwise),
              ``'mirrored'``, or ``'mirrored (2 of 9)'`` if not all were.
            - ``rescaled``: list of str, changes of size or values, such as ``'pixel aspect 8:9'`` or ``'grey levels 0
              to 4095'``.
            - ``short_clip_fps``: float, kept frames per second if ``at_least`` applied.

    Raises:
        ClipError: While iterating: the clip is not what it seems to be, damaged, cut short, or too large.
    """

    def __init__(self, path: str | Path, fps: float | None = None, at_least: int = 1) -> None:
        self.path = Path(path)
        self.fps = fps
        self.at_least = at_least
        self.times: list[float] | None = None
        self.places: list[int] = []
        self.facts: dict[str, Any] = {}

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            for number, frame in enumerate(self._decode_enough()):
                if number == MOST_FRAMES:
                    raise ClipError(self.path, f'it has more than {MOST_FRAMES} frames: cut it, or lower the fps')
                check_size(frame.shape[1], frame.shape[0])
                yield frame
        except LargeFrameError as error:
            raise ClipError(self.path, f'{error}: make it smaller') from error
        except OSError as error:
            raise ClipError(self.path, f'it cannot be opened ({error.strerror}): check its rights') from error

    @abstractmethod
    def decode(self, fps: float | None) -> Iterator[np.ndarray]:
        """Yield the frames at a rate, and finally call :meth:`report`."""

    def report(self, sampler: FrameSampler | None, *, frames_decoded: int, **facts: Any) -> None:
        """Set ``times``, ``places`` and ``facts``; without a sampler all frames were kept, and have no times.

        Empty facts do not apply and are left out.
        """
        self.times = None if sampler is None else sampler.times
        self.places = list(range(frames_decoded)) if sampler is None else sampler.places
        self.facts = {key: fact for key, fact in {'frames_decoded': frames_decoded, **facts}.items() if fact}

    def _decode_enough(self) -> Iterator[np.ndarray]:
        """At least ``at_least`` frames; no more than that are held."""
        held: list[np.ndarray] = []
        enough = False
        for frame in self.decode(self.fps):
            held.append(frame)
            enough |= len(held) == self.at_least
            if enough:
                yield from held
                held = []
        decoded = self.facts['frames_decoded']
        if enough or len(held) == decoded:
            yield from held
            return
        chosen = np.linspace(0, decoded - 1, min(self.at_least, decoded)).round().astype(int).tolist()
        yield from (frame for index, frame in enumerate(self.decode(None)) if index in chosen)
        assert self.times is not None
        self.times, self.places = [self.times[index] for index in chosen], chosen
        self.facts['short_clip_fps'] = round((len(chosen) - 1) / (self.times[-1] - self.times[0]), 6)
