"""What DICOM reports and segmentations share: their source, their identity, their codes and how they are saved."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from uscl.clips.dicom_header import is_dicom, read_elements, silent, value_of
from uscl.core.atomic_files import write_atomically
from uscl.core.digest import digest, file_digest
from uscl.core.errors import ClipError
from uscl.core.escaping import for_terminal
from uscl.version import __version__

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept
    from pydicom import Dataset

NOTICE = 'For research; not a medical device.'
MAKER = 'uscl_plugin'
SCHEME = '99USCL'  # PS3.16, 8.2: private schemes begin with 99
_LONGEST_LABEL = 64  # characters of a value of LO (PS3.5, 6.2); some programs count bytes
_NEEDED = ('SOPClassUID', 'SOPInstanceUID', 'StudyInstanceUID', 'SeriesInstanceUID')
# All that is taken from a source: who and which study, empty where it does not say (type 2), and what its frames are.
_FILED = (
    *('PatientName', 'PatientID', 'PatientBirthDate', 'PatientSex', 'StudyDate', 'StudyTime', 'StudyID'),
    *('AccessionNumber', 'ReferringPhysicianName'),
)
_PICTURE = (
    *('Rows', 'Columns', 'NumberOfFrames'),
    *('LossyImageCompression', 'LossyImageCompressionRatio', 'LossyImageCompressionMethod'),
)


@dataclass(frozen=True)
class UsedModel:
    """The model behind a result.

    Attributes:
        name: Name of its file.
        digest: SHA-256 of its file, 64 hexadecimal digits.
        settings: What else the result depends on, such as ``fps``; plain values.
    """

    name: str
    digest: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_file(cls, path: str | Path, settings: Mapping[str, Any]) -> 'UsedModel':
        """A model by its file.

        Raises:
            OSError: The file cannot be read.
        """
        return cls(as_label(Path(path).name), file_digest(path), settings)

    @property
    def identity(self) -> str:
        """A digest of what results depend on besides their source, other than the version of this program."""
        return digest(self.digest, *map(repr, sorted(self.settings.items())))

    @property
    def facts(self) -> dict[str, str]:
        """What a result says about the model, besides its name."""
        return {'SHA-256': self.digest, **{key: str(value) for key, value in self.settings.items()}}


def require_highdicom() -> None:
    """Say how to install what writes DICOM, before any work is done.

    Raises:
        ValueError: highdicom is not installed.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise ValueError("--dicom needs highdicom: pip install 'uscl_plugin[dicom-out]'.") from None


def save_result(source: Path, model: UsedModel, folder: Path, make: Callable[['Dataset', str], 'Dataset']) -> Path:
    """Make a result that refers to a DICOM file, and save it.

    The file is named by what it depends on: the bytes of the source, those of the model, its settings and the version
    of this program. So is its SOP instance UID. If there is such a file, it is left as it is: a repeated call makes no
    second instance.

    Args:
        source: A DICOM file.
        model: Made the prediction.
        folder: Created if needed.
        make: Gets the source's header (only patient, study, identity and size of the picture) and the new SOP instance
            UID, and returns the new instance.

    Returns:
        The file.

    Raises:
        ClipError: The source is not DICOM, or its header has what a new instance must not take over.
        OSError: The file cannot be written.
    """
    if not is_dicom(source):
        raise ClipError(source, 'not a DICOM file, so it has no study to file a result in: give DICOM files')
    header = read_elements(source, ('SpecificCharacterSet', *_NEEDED, *_FILED, *_PICTURE))
    if lacking := [keyword for keyword in _NEEDED if value_of(header, keyword) is None]:
        raise ClipError(source, f'no result can refer to it, its header lacks {", ".join(lacking)}: export it again')
    for keyword in _FILED:
        if keyword not in header:
            setattr(header, keyword, None)
    key = digest(file_digest(source), model.identity, __version__)
    identity = UUID(key[:32], version=5)
    path = folder / f'{identity}.dcm'
    if path.exists():
        return path
    try:
        with silent():
            header.decode()
            for keyword in ('PatientName', 'ReferringPhysicianName'):  # they remember the bytes of the source
                setattr(header, keyword, str(header.get(keyword) or ''))
            made = make(header, f'2.25.{identity.int}')  # PS3.5, B.2
            made.SpecificCharacterSet = 'ISO_IR 192'  # UTF-8
    except ClipError:
        raise
    except Exception as error:  # what highdicom or pydicom raise for values that are not valid; they may quote them
        what = f'its header has values that a result must not take over ({type(error).__name__})'
        raise ClipError(source, f'{what}: correct it, or export it again') from None
    write_atomically(path, lambda temporary: made.save_as(temporary, enforce_file_format=True))
    return path


def instance_facts(uid: str) -> dict[str, Any]:
    """What highdicom is told about every new instance: a series of its own, and who made it.

    Args:
        uid: SOP instance UID of the new instance.
    """
    from highdicom import UID

    return {
        'series_instance_uid': UID(),
        'series_number': 1,
        'series_description': NOTICE,
        'sop_instance_uid': uid,
        'instance_number': 1,
        'manufacturer': MAKER,
        'manufacturer_model_name': MAKER,
        'software_versions': __version__,
    }


def private_code(meaning: str) -> 'CodedConcept':
    """A code of our own for a text, the same wherever the text is the same.

    Args:
        meaning: Shown as it is, without what DICOM does not allow, and at most 64 bytes of it.
    """
    from highdicom.sr import CodedConcept

    return CodedConcept(digest(meaning)[:16], SCHEME, as_label(meaning))


def as_label(text: str) -> str:
    """A text as a DICOM label (value representation LO): one line of at most 64 bytes, without backslashes."""
    line = re.sub(r'\s+', ' ', for_terminal(text).replace('\\', '/')).strip()
    return line.encode('utf-8', 'replace')[:_LONGEST_LABEL].decode('utf-8', 'ignore').strip() or '-'
