"""The result of a check."""

from dataclasses import asdict, dataclass
from typing import Any

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
SEVERITIES = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """A problem to know about before trusting results on these data.

    Attributes:
        severity: ``'error'`` (a leak, or a copy that is or may end up on another side), ``'warning'`` or ``'note'``.
        kind: The kind of finding in two or three words; findings of a kind are listed together.
        message: One sentence that names the video, patient and folder.
        clips: The clips concerned, as ``(data folder, video id)``.
        value: The underlying measurement, if any: similarity or balanced accuracy.
    """

    severity: str
    kind: str
    message: str
    clips: tuple[tuple[str, str], ...] = ()
    value: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {'clips': [{'data': data, 'video_id': video_id} for data, video_id in self.clips]}
