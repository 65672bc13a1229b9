"""The outcome of converting one video."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from uscl.clips.video_source import VideoSource


@dataclass
class Outcome:
    """The outcome of converting a video.

    Attributes:
        source: The video.
        num_frames: Number of stored frames; 0 if it was skipped.
        facts: What the converter found, see :class:`~uscl.convert.videos.frame_decoding.DecodedVideo`.
        reason: Why it was skipped, or None.
        is_new: Whether it was converted in this run, not already complete.
        first_frame: RGB, as decoded, in a dry run.
    """

    source: VideoSource
    num_frames: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    is_new: bool = False
    first_frame: np.ndarray | None = None
