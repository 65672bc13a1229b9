"""The result of a check."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
SEVERITIES = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """A problem to know about before trusting results on these data.

    Attributes:
        severity: ``'error'`` (a leak, or a copy that is or may end up on another side), ``'warning'`` or ``'note'``.
        kind: The kind of finding in two or three words; findings of a kind are listed together.
        text: What is wrong, without full stop; the same text for every clip that it is true of, see :func:`grouped`.
        data: The data folder; empty for findings between folders.
        subject: The clips or the patient concerned, for people; empty if it is the whole folder.
        detail: What is true of this subject only, such as the number of blank frames.
        clips: The clips concerned, as ``(data folder, video id)``.
        value: The underlying measurement, if any: similarity or balanced accuracy.
    """

    severity: str
    kind: str
    text: str
    data: str = ''
    subject: str = ''
    detail: str = ''
    clips: tuple[tuple[str, str], ...] = ()
    value: float | None = None

    @property
    def item(self) -> str:
        """The subject with its detail."""
        return f'{self.subject}, {self.detail}' if self.detail else self.subject

    @property
    def message(self) -> str:
        """One sentence that names the folder, video and patient."""
        detail = f' ({self.detail})' if self.detail else ''
        return ': '.join(filter(None, (self.data, self.subject, self.text))) + f'{detail}.'

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        clips = [{'data': data, 'video_id': video_id} for data, video_id in self.clips]
        return {name: getattr(self, name) for name in ('severity', 'kind', 'message', 'value')} | {'clips': clips}


def grouped(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Put findings that differ only in their subject together, in order of first appearance."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.kind, finding.data, finding.text), []).append(finding)
    return list(groups.values())
