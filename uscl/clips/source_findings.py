"""What was found in a source folder."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from uscl.core.plurals import counted

from .ignored_file import IgnoredFile
from .video_source import VideoSource

_MANY = 10  # kinds listed in a sentence


@dataclass(frozen=True)
class SourceFindings:
    """What was found in a source folder; everything that is not read is listed, except hidden files.

    Attributes:
        sources: The videos in natural order of their ids.
        ignored: Files that are not read.
        warnings: Sentences on what is read but looks wrong.
    """

    sources: Sequence[VideoSource]
    ignored: Sequence[IgnoredFile] = ()
    warnings: Sequence[str] = ()

    def describe_ignored(self) -> str:
        """The ignored files counted by kind, the most frequent first, or '' for none.

        >>> files = [IgnoredFile('a.docx', '.docx'), *(IgnoredFile(n, '.zip', 'unpack it') for n in 'bc')]
        >>> SourceFindings([], files).describe_ignored()
        '3 files ignored: 2 .zip (unpack it), 1 .docx'
        """
        if not self.ignored:
            return ''
        counts = Counter((file.kind, file.remedy) for file in self.ignored).most_common()
        parts = [counted(number, kind) + (f' ({remedy})' if remedy else '') for (kind, remedy), number in counts]
        if len(counts) > _MANY:
            parts[_MANY:] = [f'{sum(number for _, number in counts[_MANY:])} of other kinds']
        return f'{counted(len(self.ignored), "file")} ignored: {", ".join(parts)}'
