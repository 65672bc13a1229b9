"""What became of one video of a conversion."""

from dataclasses import dataclass, field
from typing import Any

from uscl.clips.video_source import VideoSource


@dataclass
class Outcome:
    """What became of a video.

    Attributes:
        source: The video.
        num_frames: Stored frames; 0 if it was skipped.
        facts: What the converter found out, see :class:`~uscl.convert.videos.frame_decoding.DecodedVideo`.
        reason: Why it was skipped, else None.
        is_new: Whether it was converted now, not found complete.
    """

    source: VideoSource
    num_frames: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    is_new: bool = False
