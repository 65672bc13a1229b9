"""What a check has found."""

from dataclasses import asdict, dataclass
from typing import Any

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
SEVERITIES = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """One thing that somebody should know before believing figures on these data.

    Attributes:
        severity: ``'error'`` (a leak, or a copy that is or may be on another side), ``'warning'`` or ``'note'``.
        kind: What kind of finding, in two or three words; findings of a kind are listed together.
        message: A sentence that names video, patient and folder.
        clips: Those concerned, as ``(data folder, video id)``.
        value: The measure behind it, if there is one: similarity, balanced accuracy.
    """

    severity: str
    kind: str
    message: str
    clips: tuple[tuple[str, str], ...] = ()
    value: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {'clips': [{'data': data, 'video_id': video_id} for data, video_id in self.clips]}
