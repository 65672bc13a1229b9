"""The converter's options on privacy."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from uscl.clips.ignored_file import UNKNOWN
from uscl.clips.source_findings import SourceFindings
from uscl.core.loose_names import look_alikes
from uscl.core.options import Arg

from .patients import protect_sources
from .pseudonyms import Pseudonyms, read_salt

_GROUP = 'privacy (docs/privacy.md)'


@dataclass(frozen=True, kw_only=True)
class PrivacyOptions:
    """Options on privacy.

    Attributes:
        hash_patients: Write salted hashes of patient ids (from the index, else from DICOM).
        hash_names: Write salted hashes of clip names as video ids.
        salt_file: The salt; created if it does not exist (default: the environment variable USCL_SALT).
        mask_static: Blank pixels that never move (text, scales, logos) and show what was blanked in DIR/masked; clips
            in which nothing moves are skipped.
        mask_tolerance: Grey levels by which a static pixel may flicker (default: 8); a larger value blanks more.

    Raises:
        ValueError: An option has no effect without another.
    """

    hash_patients: Annotated[bool, Arg(group=_GROUP)] = False
    hash_names: Annotated[bool, Arg(group=_GROUP)] = False
    salt_file: Annotated[str | None, Arg('FILE', group=_GROUP)] = None
    mask_static: Annotated[bool, Arg(group=_GROUP)] = False
    mask_tolerance: Annotated[int | None, Arg('N', at_least=1, group=_GROUP)] = None

    def __post_init__(self) -> None:
        """Check that every option has an effect."""
        if self.salt_file is not None and not (self.hash_patients or self.hash_names):
            raise ValueError('--salt-file needs --hash-patients or --hash-names: give one of them, or both.')
        if self.mask_tolerance is not None and not self.mask_static:
            raise ValueError('--mask-tolerance needs --mask-static: give both.')

    @property
    def static_tolerance(self) -> int | None:
        """Grey levels by which a static pixel may flicker; None to blank nothing."""
        from .static_mask import TOLERANCE  # here: importing cv2 would slow down --help

        return (self.mask_tolerance or TOLERANCE) if self.mask_static else None

    def metainfo(self) -> dict:
        """What the annotation file says about the options that were used."""
        names = {
            'patients_hashed': self.hash_patients,
            'names_hashed': self.hash_names,
            'static_masked': self.mask_static,
        }
        return {name: True for name, is_used in names.items() if is_used}

    def protect(self, found: SourceFindings, out: str | Path, dry_run: bool = False) -> SourceFindings:
        """Set the patient and video ids that will be written; notes and warnings go to stderr.

        A warning on original ids that look alike is added to the findings.

        Args:
            found: As found.
            out: The data folder.
            dry_run: Do not create a salt file.

        Raises:
            SourceError: There is no salt, or it cannot be used.
        """
        pseudonyms = None
        if self.hash_patients or self.hash_names:
            salt, note = read_salt(self.salt_file, out, dry_run)
            pseudonyms = Pseudonyms(salt)
            if note:
                print(f'note: {note}', file=sys.stderr)
        protected, warnings = protect_sources(found.sources, pseudonyms, self.hash_patients, self.hash_names)
        for warning in warnings:
            print(f'warning: {warning}', file=sys.stderr)
        ignored = list(found.ignored)
        if self.hash_names and pseudonyms is not None:  # an unknown suffix may be part of a name
            kinds = [UNKNOWN if file.kind[0] == '.' and not file.remedy else file.kind for file in ignored]
            hashed = [pseudonyms.video(file.path) for file in ignored]
            ignored = [replace(f, path=name, kind=kind) for f, name, kind in zip(ignored, hashed, kinds, strict=True)]
        labels, patients = ([getattr(s, key) for s in found.sources] for key in ('label', 'patient_id'))
        alike = look_alikes(labels, patients, named=not self.hash_patients)
        return SourceFindings(protected, ignored, [*found.warnings, *alike])
