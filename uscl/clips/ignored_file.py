"""A file in a source folder that is not read, and why."""

import re
from dataclasses import dataclass
from pathlib import Path

TEXT = 'document beside the clips'  # which nobody expects to be read as a clip
UNKNOWN = 'file of unknown kind'
_SYSTEM_FILES = {'thumbs.db', 'ehthumbs.db', 'desktop.ini'}  # of Windows; those of other systems start with a dot
# fmt: off
_TEXT_SUFFIXES = {
    '.txt', '.md', '.rst', '.csv', '.tsv', '.json', '.jsonl', '.xml', '.yaml', '.yml', '.html', '.htm', '.bib', '.cff',
    '.log',
}
# fmt: on
_TEXT_NAMES = {'readme', 'license', 'licence', 'copying', 'notice', 'authors', 'changelog', 'citation', 'dicomdir'}
_REMEDIES = {
    'unpack it': '.zip .gz .tgz .tar .bz2 .xz .7z .rar',
    'export it as DICOM or as a video': '.npy .npz .mat .h5 .hdf5',
    'save a list of clips as index.csv': '.xlsx .xls .ods .numbers',
}
_REMEDY_OF = {suffix: remedy for remedy, suffixes in _REMEDIES.items() for suffix in suffixes.split()}


@dataclass(frozen=True)
class IgnoredFile:
    """A file (or folder of images) that is not read.

    Attributes:
        path: Relative to the source, with '/'.
        kind: Its suffix, or what it is, such as 'clip that index.csv does not list'.
        remedy: How to have it read; may be empty.
    """

    path: str
    kind: str
    remedy: str = ''

    @property
    def reason(self) -> str:
        """Why the file is ignored, for a table."""
        return f'ignored: {self.kind}' + (f', {self.remedy}' if self.remedy else '')


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is hidden, or belongs to the operating system."""
    return path.name.startswith('.') or path.name.lower() in _SYSTEM_FILES


def ignore_file(name: str) -> IgnoredFile:
    """Describe a file that no reader knows, by its path.

    >>> ignore_file('a/b.tar.gz').kind, ignore_file('a/LICENSE').kind, ignore_file('a/b.DOCX').kind
    ('.gz', 'document beside the clips', '.docx')
    """
    path = Path(name.lower())
    suffix = path.suffix
    if suffix in _TEXT_SUFFIXES or path.stem in _TEXT_NAMES:
        return IgnoredFile(name, TEXT)
    if suffix not in _REMEDY_OF and not re.fullmatch(r'\.[a-z0-9]{0,9}[a-z][a-z0-9]{0,9}', suffix):
        return IgnoredFile(name, UNKNOWN)
    return IgnoredFile(name, suffix, _REMEDY_OF.get(suffix, ''))
