"""What became of one video of a conversion."""

from dataclasses import dataclass, field

from uscl.clips.discovery import VideoSource


@dataclass
class Outcome:
    """What became of a video.

    Attributes:
        source: The video.
        frames: Stored frames in time order, relative to the dataset folder; empty if it was skipped.
        reason: Why it was skipped, else None.
        is_new: Whether it was converted now, not found complete.
        blanked: Share of the picture that was blanked because it never moves; None if that was not asked for.
    """

    source: VideoSource
    frames: list[str] = field(default_factory=list)
    reason: str | None = None
    is_new: bool = False
    blanked: float | None = None
