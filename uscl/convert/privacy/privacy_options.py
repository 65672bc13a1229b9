"""The converter's options about whose videos they are."""

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

_GROUP = 'what is written of the people in the clips (docs/privacy.md)'


@dataclass(frozen=True, kw_only=True)
class PrivacyOptions:
    """What is written of the people in the clips.

    Attributes:
        hash_patients: Write salted hashes of patient ids (of the index, else of DICOM).
        hash_names: Write salted hashes of the names of clips as video ids.
        salt_file: The salt; made if it does not exist (default: the environment variable USCL_SALT).
        mask_static: Blank every pixel that never moves (text, scales, logos) and show what was blanked in DIR/masked;
            clips in which nothing moves are skipped.
        mask_tolerance: Grey levels by which a static pixel may flicker (default: 8); more blanks more.

    Raises:
        ValueError: An option does nothing without another.
    """

    hash_patients: Annotated[bool, Arg(group=_GROUP)] = False
    hash_names: Annotated[bool, Arg(group=_GROUP)] = False
    salt_file: Annotated[str | None, Arg('FILE', group=_GROUP)] = None
    mask_static: Annotated[bool, Arg(group=_GROUP)] = False
    mask_tolerance: Annotated[int | None, Arg('N', at_least=1, group=_GROUP)] = None

    def __post_init__(self) -> None:
        """Check that every option has an effect."""
        if self.salt_file is not None and not (self.hash_patients or self.hash_names):
            raise ValueError(
                '--salt-file does nothing without --hash-patients or --hash-names: give one of them, or both.'
            )
        if self.mask_tolerance is not None and not self.mask_static:
            raise ValueError('--mask-tolerance does nothing without --mask-static: give it, too.')

    @property
    def static_tolerance(self) -> int | None:
        """Grey levels by which a static pixel may flicker; None if nothing is to be blanked."""
        from .static_mask import TOLERANCE  # here, for cv2 takes time that --help should not

        return (self.mask_tolerance or TOLERANCE) if self.mask_static else None

    def metainfo(self) -> dict:
        """What the annotation file says about the options that were used; nothing for none."""
        used = {
            'patients_hashed': self.hash_patients,
            'names_hashed': self.hash_names,
            'static_masked': self.mask_static,
        }
        return {name: True for name, is_used in used.items() if is_used}

    def protect(self, found: SourceFindings, out: str | Path, dry_run: bool = False) -> SourceFindings:
        """Settle patient and video ids of what goes to ``out``; tells on stderr what the user should know.

        Ids as they were found are compared with each other, and a warning on those that look alike is added.

        Args:
            found: As found.
            out: The dataset folder.
            dry_run: Make no salt file.

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
        if self.hash_names and pseudonyms is not None:  # a suffix that is not known may be a part of a name
            kinds = [UNKNOWN if file.kind[0] == '.' and not file.remedy else file.kind for file in ignored]
            ignored = [
                replace(file, path=pseudonyms.video(file.path), kind=kind)
                for file, kind in zip(ignored, kinds, strict=True)
            ]
        labels, patients = ([getattr(s, key) for s in found.sources] for key in ('label', 'patient_id'))
        alike = look_alikes(labels, patients, named=not self.hash_patients)
        return SourceFindings(protected, ignored, [*found.warnings, *alike])
