"""Options of the commands that take new clips: which clips, and how they are prepared."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from uscl.convert.videos.store_settings import StoreSettings
from uscl.core.options import Arg


@dataclass(frozen=True, kw_only=True)
class PreparationOptions:
    """How new clips are found and prepared; what is not given is as the training data were converted.

    Attributes:
        stills: Every image in a folder is a clip of its own; otherwise they are the frames of one.
        fps: Frames used per second (default: as the training data were converted).
        min_frames: Minimum number of frames used from a short clip (default: as the training data were converted).
        frame_size: The converter's --size (default: as the training data were converted).
    """

    stills: bool = False
    fps: Annotated[float | None, Arg(above=0)] = None
    min_frames: Annotated[int | None, Arg('N', at_least=1)] = None
    frame_size: Annotated[int | None, Arg('N', at_least=1)] = None

    def settings(self, trained: StoreSettings) -> StoreSettings:
        """The settings of the training data with what was given instead."""
        given: dict[str, Any] = {'fps': self.fps, 'min_frames': self.min_frames, 'size': self.frame_size}
        return replace(trained, **{key: value for key, value in given.items() if value is not None})
