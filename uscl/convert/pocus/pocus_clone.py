"""The clips of a clone of the POCUS lung data set (github.com/jannisborn/covid19_ultrasound, Born et al. 2021).

Classes and patients are in its table, ``dataset_metadata.csv``, which names clips without suffix.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from uscl.clips.discovery import find_root, walk_sources
from uscl.clips.ignored_file import IgnoredFile
from uscl.clips.media_suffixes import CLIP_SUFFIXES
from uscl.clips.source_findings import SourceFindings
from uscl.clips.video_source import VideoSource
from uscl.core.errors import SourceError
from uscl.core.tables import read_csv

CLASSES = ('covid', 'pneumonia', 'regular')
VIDEOS, TABLE = 'pocus_videos', 'dataset_metadata.csv'
PROBES = ('convex', 'linear')
_COLUMNS = ('Filename', 'Label', 'Patient ID / Name', 'Probe', 'Type', 'InThisRepo', 'Current location')
_VIRAL = 'viral'
_LABELS = {'covid-19': 'covid', 'bacterial pneumonia': 'pneumonia', 'regular': 'regular', 'viral pneumonia': _VIRAL}
_PREFIXES = {'cov': 'covid', 'pne': 'pneumonia', 'reg': 'regular', 'vir': _VIRAL}
_UNCERTAIN = 'label_uncertain'  # the authors' folder for clips of unknown class


@dataclass(frozen=True)
class ClipRow:
    """A row of the table that describes a clip.

    Attributes:
        number: Last line of the row in the file.
        name: File name without suffix.
        label: As in the table; may be empty.
        patient_id: ``pocus_<id>``; None if unknown.
        probe: 'convex', 'linear' or as in the table, in lower case.
        is_promised: Whether the clip is in ``pocus_videos`` according to the table.
    """

    number: int
    name: str
    label: str
    patient_id: str | None
    probe: str
    is_promised: bool


def find_clips(
    src: str | Path, out: str | Path | None = None, probe: str = 'all', viral: str = 'skip', follow_links: bool = False
) -> SourceFindings:
    """List the clips of a clone with class and patient; clips that cannot be used have a problem.

    The table's label is the class. The prefix of the file name (Cov, Pneu, Reg, Vir) has to agree with it, and replaces
    it for clips that are not in the table, whose patient is unknown.

    Args:
        src: The clone, its ``data`` folder, or any folder with ``pocus_videos/`` and ``dataset_metadata.csv``.
        out: Output folder; it is not searched.
        probe: 'all', or 'convex' or 'linear' to leave out clips from other probes.
        viral: 'skip', or 'pneumonia' to count viral pneumonia as that class.
        follow_links: Follow symbolic links out of the source.

    Returns:
        The clips (ids are relative to the parent of ``pocus_videos``), and warnings on differences between clips and
        table.

    Raises:
        SourceError: No such folder or table, no clip, or a table without the columns.
    """
    root = find_root(src, out)
    root = next((folder for folder in (root, root / 'data') if (folder / VIDEOS).is_dir()), root)
    if not (root / VIDEOS).is_dir() or not (root / TABLE).is_file():
        what = f'holds neither {VIDEOS}/ with {TABLE} nor covid_data1.pkl to covid_data5.pkl'
        raise SourceError(f'{src} {what}: give a clone of covid19_ultrasound, or the folder with the five files.')
    walked = walk_sources(root / VIDEOS, out, follow_links)
    found = [source for source in walked.sources if source.problem or not source.path.is_dir()]
    if not found:
        raise SourceError(f'{root / VIDEOS} holds no clip: clone the repository again.', exit_code=1)
    rows = read_table(root / TABLE)
    clips, unmatched, matched, left_out = [], [], set(), 0
    for source in found:
        row = match_row(PurePosixPath(source.video_id), rows)
        matched.add(row)
        if probe not in ('all', _probe_of(PurePosixPath(source.video_id), row)):
            left_out += 1
            continue
        clips.append(_label(source, row, viral))
        if row is None:
            unmatched.append(clips[-1].video_id)
    absent = [row.name for row in rows if row.is_promised and row not in matched]
    remarks = (
        (f'clips from other probes, left out (--probe {probe})', [str(left_out)] if left_out else []),
        (f'clips without a unique row in {TABLE} (class by the prefix, patient unknown)', unmatched),
        (f'clips that should be in {VIDEOS} according to {TABLE}', absent),
    )
    stills = [IgnoredFile(s.video_id, 'folder of images, not clips') for s in walked.sources if s not in found]
    ignored = [replace(file, path=f'{VIDEOS}/{file.path}') for file in (*walked.ignored, *stills)]
    return SourceFindings(clips, ignored, [f'{what}: {", ".join(names)}' for what, names in remarks if names])


def read_table(path: Path) -> list[ClipRow]:
    """Read the rows that describe clips, not those that describe still images.

    Raises:
        SourceError: Not a CSV file, or a column is missing.
    """
    (_, header), *rows = read_csv(path) or [(0, [])]
    if missing := [name for name in _COLUMNS if name not in header]:
        raise SourceError(f'{path} lacks the column {", ".join(missing)}: take it from the clone again.')
    named = [(number, dict.fromkeys(_COLUMNS, '') | dict(zip(header, cells, strict=False))) for number, cells in rows]
    return [
        ClipRow(
            number,
            _strip_suffix(row['Filename']),
            row['Label'],
            f'pocus_{row["Patient ID / Name"]}' if row['Patient ID / Name'] else None,
            row['Probe'].casefold(),
            row['InThisRepo'].casefold() == 'yes' and VIDEOS in row['Current location'].casefold().split('/'),
        )
        for number, row in named
        if row['Type'].casefold() == 'video'
    ]


def match_row(clip: PurePosixPath, rows: Sequence[ClipRow]) -> ClipRow | None:
    """The row of a clip: with the same name, or else with a name that only differs in case, punctuation or editing.

    For example, the repository's own script writes ``Cov_Butterfly_Consolidation.avi`` for the row
    ``Cov-Butterfly-Consolidation``. Of several rows, the one with the folder's probe counts.

    Returns:
        The row, or None if there is none or more than one.
    """
    name = _strip_suffix(clip.name)
    for normalise in (str, _loose):
        fitting = [row for row in rows if normalise(row.name) == normalise(name)]
        if len(fitting) > 1:
            fitting = [row for row in fitting if row.probe == _probe_of(clip, None)]
        if fitting:
            return fitting[0] if len(fitting) == 1 else None
    return None


def _strip_suffix(name: str) -> str:
    path = PurePosixPath(name)
    return (path.stem if path.suffix.lower() in CLIP_SUFFIXES else name).strip()


def _loose(name: str) -> str:
    """Words in lower case, without those that mark editing.

    >>> _loose('Reg_Image_181602_trimmed_crop'), _loose('Cov-Atlas-+(43)')
    ('reg image 181602', 'cov atlas 43')
    """
    words = re.split(r'[\W_]+', name.casefold())
    return ' '.join(word for word in words if word not in ('', 'crop', 'trimmed'))


def _probe_of(clip: PurePosixPath, row: ClipRow | None) -> str | None:
    """The probe by the folder, as in the repository's scripts, or by the table for clips in no probe's folder."""
    in_path = [part for part in map(str.casefold, clip.parts[:-1]) if part in PROBES]
    return in_path[0] if in_path else row.probe if row else None


def _label(source: VideoSource, row: ClipRow | None, viral: str) -> VideoSource:
    """The clip with its class and patient, or with a problem."""
    clip = PurePosixPath(source.video_id)
    prefix = re.match(r'(cov|pne|reg|vir)u?(?![a-z])', clip.name.casefold())
    named = _PREFIXES[prefix[1]] if prefix else None
    listed = _LABELS.get(row.label.casefold()) if row else None
    kind = listed or named
    problem = None
    if row and row.label and listed is None:
        problem = f'row {row.number} of {TABLE} has the unknown label {row.label!r}: correct it'
    elif row and listed and named and listed != named:
        problem = f'its name says {named}, row {row.number} of {TABLE} says {listed}: correct one of them'
    elif kind is None:
        problem = f'neither {TABLE} nor a prefix Cov, Pneu, Reg or Vir gives its class: rename it, or add a row'
    elif _UNCERTAIN in map(str.casefold, clip.parts):
        problem = f'it is in {_UNCERTAIN}: move it out to use it'
    elif kind == _VIRAL and viral == 'skip':
        problem = 'viral pneumonia is not one of the three classes: add --viral pneumonia to count it as pneumonia'
    return replace(
        source,
        video_id=f'{VIDEOS}/{source.video_id}',
        label=None if problem or source.problem else 'pneumonia' if kind == _VIRAL else kind,
        patient_id=row.patient_id if row else None,
        problem=source.problem or problem,
    )
