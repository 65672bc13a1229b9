"""Group DICOM files by patient, and keep patients' ids and names out of the output."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from uscl.clips.dicom_header import is_dicom, read_elements, value_of
from uscl.clips.video_source import VideoSource
from uscl.core.errors import ClipError
from uscl.core.plurals import counted

from .pseudonyms import Pseudonyms

_PATIENT = ('PatientID', 'OtherPatientIDs', 'PatientName', 'PatientBirthDate')
_STUDY = ('AccessionNumber', 'StudyID', 'StudyDate', 'StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID')
_SHORTEST = 3  # letters and digits; shorter ids and names occur in any path by chance
_LONG = 6  # letters and digits; that many do not occur within other words by chance


def protect_sources(
    sources: Sequence[VideoSource],
    pseudonyms: Pseudonyms | None = None,
    hash_patients: bool = False,
    hash_names: bool = False,
) -> tuple[list[VideoSource], list[str]]:
    """Set the patient and video ids that will be written.

    A patient id in the index is kept, or hashed, and applies to all DICOM files with the same PatientID. Otherwise the
    PatientID groups the files: it is hashed, or, without ``hash_patients``, replaced by the name of the patient's first
    file, see :func:`named_after`, which only shows that the files belong together.

    Args:
        sources: As found.
        pseudonyms: Needed to hash anything.
        hash_patients: Hash patient ids.
        hash_names: Hash video ids, which are names of files and folders.

    Returns:
        The sources, and warnings about names and ids that are a patient's according to the file's header; they quote
        nothing.
    """
    identities = [_read_identity(source) for source in sources]
    own_ids = [identity.get('PatientID', [None])[0] for identity in identities]
    first_of: dict[str, str] = {}
    given: dict[str, set[str]] = {}  # by the index, for each PatientID
    for source, own_id in zip(sources, own_ids, strict=True):
        if own_id is not None and source.patient_id is not None:
            given.setdefault(own_id, set()).add(source.patient_id)
    protected: list[VideoSource] = []
    traces: Counter[tuple[str, str]] = Counter()
    for source, identity, own_id in zip(sources, identities, own_ids, strict=True):
        new = source
        if hash_names and pseudonyms is not None:
            new = replace(new, video_id=pseudonyms.video(source.video_id), is_name_hidden=True)
        indexed = source.patient_id or min(given.get(own_id or '', ()), default=None)
        if indexed is not None:
            new = replace(new, patient_id=indexed)
        elif own_id is not None:
            new = replace(new, patient_id=first_of.setdefault(own_id, named_after(new.video_id)))
        if hash_patients and pseudonyms is not None:
            raw_id = indexed or own_id
            new = replace(new, patient_id=None if raw_id is None else pseudonyms.patient(raw_id))
        for what, text in (('names of files or folders', new.video_id), ('labels', new.label)):
            traces.update((what, keyword) for keyword in find_traces(text or '', identity))
        if source.patient_id is not None and new.patient_id == own_id:
            traces['ids in the index', 'PatientID'] += 1
        protected.append(new)
    warnings = _warnings(traces)
    if torn := sum(len(ids) > 1 for ids in given.values()):
        what = f'the index divides {counted(torn, "PatientID")} of DICOM headers among several patients'
        warnings.append(f'{what}, which may end up on both sides of a split: correct it, or leave patient_id empty.')
    return protected, warnings


def named_after(video_id: str) -> str:
    """Id of a patient of whom no other is known, after one of the patient's clips."""
    return f'patient of {video_id}'


def find_traces(text: str, identity: dict[str, list[str]]) -> list[str]:
    """Keywords of the elements of a DICOM header that occur in a text.

    Case and punctuation do not matter; values of fewer than six letters and digits must be separate words.

    Args:
        text: Such as a path.
        identity: Values by keyword.

    >>> find_traces('covid/doe-jane_1.dcm', {'PatientName': ['Doe', 'Jane'], 'PatientID': ['47']})
    ['PatientName']
    """
    words = re.split(r'[\W_]+', text.casefold())
    squeezed = ''.join(words)
    found = []
    for keyword, values in identity.items():
        plain = [re.sub(r'[\W_]+', '', value.casefold()) for value in values]
        if any(value in (squeezed if len(value) >= _LONG else words) for value in plain if len(value) >= _SHORTEST):
            found.append(keyword)
    return found


def _read_identity(source: VideoSource) -> dict[str, list[str]]:
    """What identifies patient and study in a DICOM file; empty for a broken one, which the conversion will report."""
    path = Path(source.path)
    if source.problem is not None or path.is_dir() or not is_dicom(path):
        return {}
    try:
        elements = read_elements(path, (*_PATIENT, *_STUDY))
    except ClipError:
        return {}
    identity: dict[str, list[str]] = {}
    for keyword in (*_PATIENT, *_STUDY):
        value = value_of(elements, keyword)
        values = [] if value is None else [str(item) for item in _items(value)]
        if keyword == 'PatientName':
            values += [part for name in values for part in re.split(r'[\^= ,]+', name)]
        if values := [item.strip() for item in values if item.strip()]:
            identity[keyword] = values
    return identity


def _items(value: object) -> list:
    return list(value) if type(value).__name__ == 'MultiValue' else [value]  # type: ignore[call-overload]


def _warnings(traces: Counter) -> list[str]:
    remedies = {
        'names of files or folders': 'rename them, or use --hash-names',
        'labels': 'rename the class folders, or give an index.csv',
        'ids in the index': 'use --hash-patients',
    }
    warnings = []
    for what, remedy in remedies.items():
        if found := [f'{keyword} in {count}' for (kind, keyword), count in sorted(traces.items()) if kind == what]:
            warnings.append(f'{what} of DICOM files contain elements of their headers ({", ".join(found)}): {remedy}.')
    return warnings
