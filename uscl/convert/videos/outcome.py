"""What became of one video of a conversion."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from uscl.clips.video_source import VideoSource

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Outcome:
    """What became of a video.

    Attributes:
        source: The video.
        num_frames: Stored frames; 0 if it was skipped.
        facts: What the converter found out, see :class:`~uscl.convert.videos.frame_decoding.DecodedVideo`.
        reason: Why it was skipped, else None.
        is_new: Whether it was converted now, not found complete.
        first_frame: RGB, as decoded, of a video that was only looked at.
    """

    source: VideoSource
    num_frames: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    is_new: bool = False
    first_frame: 'np.ndarray | None' = None
