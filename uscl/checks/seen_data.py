"""What a network was trained on: recognisable without names, as stored in checkpoints (``meta['uscl']['seen']``)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from uscl.convert.privacy.patient_key import normalised
from uscl.convert.privacy.pseudonyms import Pseudonyms


@dataclass(frozen=True)
class Seen:
    """Training data of a network, united over all its trainings.

    Attributes:
        sha256s: Of the source files.
        signatures: Of the clips, see :func:`uscl.data.signatures.sign_clip`.
        patients: Id of a key → hashes of patient ids under it, see :mod:`uscl.convert.privacy.patient_key`.
        is_complete: Whether every training clip has a signature.
    """

    sha256s: frozenset[str] = frozenset()
    signatures: frozenset[str] = frozenset()
    patients: Mapping[str, frozenset[str]] = field(default_factory=dict)
    is_complete: bool = True

    def __or__(self, other: 'Seen') -> 'Seen':
        """What either has seen."""
        keys = self.patients.keys() | other.patients.keys()
        return Seen(
            self.sha256s | other.sha256s,
            self.signatures | other.signatures,
            {key: self.patients.get(key, frozenset()) | other.patients.get(key, frozenset()) for key in keys},
            self.is_complete and other.is_complete,
        )

    @property
    def is_unknown(self) -> bool:
        """Whether no clip is known, although there may have been some."""
        return not (self.is_complete or self.sha256s or self.signatures)

    def as_plain(self) -> dict[str, Any]:
        """For a checkpoint: sorted lists; null if nothing is known."""
        patients = {key: sorted(self.patients[key]) for key in sorted(self.patients)}
        return {
            'sha256s': sorted(self.sha256s) or None,
            'signatures': sorted(self.signatures) or None,
            'patients': patients or None,
            'complete': self.is_complete,
        }


UNKNOWN = Seen(is_complete=False)


def seen_of(entries: Iterable[Mapping[str, Any]] | None, key: Pseudonyms | None) -> Seen:
    """What training on some videos means.

    Args:
        entries: Their entries in the annotation; None if they are unknown.
        key: Hashes the patients' ids; None leaves them unknown.
    """
    if entries is None:
        return UNKNOWN
    entries = list(entries)
    patients = {entry['patient_id'] for entry in entries} - {None}
    hashes = {} if key is None or not patients else {key.key_id: frozenset(hash_patient(key, p) for p in patients)}
    values = {name: {entry[name] for entry in entries} for name in ('sha256', 'signature')}
    return Seen(
        frozenset(values['sha256'] - {None}),
        frozenset(values['signature'] - {None, ''}),  # '' of a blank clip, which nothing is a copy of
        hashes,
        None not in values['signature'],
    )


def stored_seen(provenance: Mapping[str, Any]) -> Seen:
    """What a checkpoint's provenance, ``meta['uscl']``, says; what it does not say, or says wrongly, is unknown."""
    stored = provenance.get('seen')
    if not isinstance(stored, Mapping):
        return UNKNOWN
    sha256s, signatures = (_texts(stored.get(name)) for name in ('sha256s', 'signatures'))
    patients = stored.get('patients')
    patients = patients if isinstance(patients, Mapping) else {}
    hashes = {str(key): _texts(found) for key, found in patients.items()}
    return Seen(sha256s, signatures, hashes, stored.get('complete') is True)


def hash_patient(key: Pseudonyms, patient_id: str) -> str:
    """The hash of a patient's id, however it is written."""
    return key.patient(normalised(patient_id))


def _texts(values: Any) -> frozenset[str]:
    return frozenset(value for value in values if isinstance(value, str)) if isinstance(values, list) else frozenset()
