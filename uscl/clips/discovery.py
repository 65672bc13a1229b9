"""Find the videos of a source folder, by its index or by its folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from uscl.core.errors import SourceError
from uscl.core.natural_order import natural_key

from .clip_reader import CLIP_SUFFIXES
from .dicom_header import DICOM_SUFFIXES, is_dicom
from .frame_folder import is_frame
from .source_index import read_index

_LEAVES_SOURCE = (
    'a symbolic link that leads out of the source: copy the files into it, or give the folder they are in as SRC'
)


@dataclass(frozen=True)
class VideoSource:
    """One video of the source, found but not yet opened.

    Attributes:
        video_id: Path relative to the source, with '/'.
        path: The clip, the DICOM file or the folder of frames.
        label: Class name; None is unlabelled.
        patient_id: None is unknown.
        split: Such as 'train'; None is not given.
        problem: Why it cannot be converted, if that is known already.
        is_name_hidden: Whether ``video_id`` is a hash, so that the names in ``path`` must not be written anywhere.
    """

    video_id: str
    path: Path
    label: str | None = None
    patient_id: str | None = None
    split: str | None = None
    problem: str | None = None
    is_name_hidden: bool = False


def find_sources(
    root: str | Path,
    index: str | Path | None = None,
    classes: Sequence[str] | None = None,
    out: str | Path | None = None,
) -> list[VideoSource]:
    """List the videos of a source folder in natural order of their ids.

    With an index (``index``, else ``root/index.csv`` if there is one) these are its rows. Otherwise the folders are
    walked: a file with a clip's suffix is a video, and so are a DICOM file and a folder that directly holds images;
    its label is the first folder of its path, and none if it lies directly in ``root``. Hidden files are ignored.

    Args:
        root: The source folder.
        index: A CSV file, see :func:`uscl.clips.source_index.read_index`.
        classes: Allowed labels; None allows any.
        out: Where the result goes; left out of the walk, and may not be ``root`` itself.

    Raises:
        SourceError: No such folder, nothing in it, a wrong index, or a label that is not in ``classes``.
    """
    root = find_root(root, out)
    if index is None and (root / 'index.csv').is_file():
        index = root / 'index.csv'
    if index is not None:
        sources = [_open_row(root, row) for row in read_index(index, classes)]
        if not sources:
            raise SourceError(f'{index} lists no clip: nothing could be read.', exit_code=1)
    else:
        sources = walk_sources(root, out)
        if not sources:
            suffixes = ' '.join(sorted(suffix[1:] for suffix in CLIP_SUFFIXES | DICOM_SUFFIXES))
            raise SourceError(
                f'no clip ({suffixes}) and no folder of images found in {root}: nothing could be read.', exit_code=1
            )
        for source in sources:
            if classes is not None and source.label is not None and source.label not in classes:
                raise SourceError(
                    f'{source.path}: its folder gives it the label {source.label!r}, which is not one of --classes '
                    f'{" ".join(classes)}: add it there, or rename the folder.'
                )
    return sorted(sources, key=lambda source: natural_key(source.video_id))


def find_root(root: str | Path, out: str | Path | None = None) -> Path:
    """The source folder as a path, after a check that it exists and is not ``out``.

    Raises:
        SourceError: It is not a folder, or is ``out``.
    """
    root = Path(root)
    if not root.is_dir():
        what = 'is not a folder' if root.exists() else 'does not exist'
        raise SourceError(f'source {root} {what}: give the folder that holds the clips.')
    if out is not None and Path(out).resolve() == root.resolve():
        raise SourceError(f'--out {out} is the source itself: give another folder, so that no source is overwritten.')
    return root


def walk_sources(root: str | Path, out: str | Path | None = None) -> list[VideoSource]:
    """Find the clips and the folders of images below a folder; see :func:`find_sources`.

    Raises:
        SourceError: Two videos would have one id.
    """
    root = Path(root)
    left_out = None if out is None else Path(out).resolve()
    found: list[VideoSource] = []
    for folder_name, subfolders, files in os.walk(root):
        folder = Path(folder_name)
        found += [_open_found(root, folder / name) for name in subfolders if _leaves(folder / name, root)]
        subfolders[:] = [name for name in subfolders if name[0] != '.' and (folder / name).resolve() != left_out]
        visible = [folder / name for name in files if not name.startswith('.')]
        found += [_open_found(root, path) for path in visible if _is_video(path, root)]
        if any(is_frame(path) for path in visible):
            found.append(_open_found(root, folder))
    paths: dict[str, Path] = {}
    for source in found:
        if source.video_id in paths:  # images directly in the source are named after it, as a folder in it may be
            raise SourceError(
                f'{paths[source.video_id]} and {source.path} would both be video {source.video_id!r}: rename one.'
            )
        paths[source.video_id] = source.path
    return sorted(found, key=lambda source: natural_key(source.video_id))


def _open_found(root: Path, path: Path) -> VideoSource:
    parts = path.relative_to(root).parts or (root.resolve().name,)  # images directly in the source: one video
    name = '/'.join(parts)
    printable = os.fsencode(name).decode('utf-8', errors='replace')
    problem = 'its name is not valid UTF-8: rename it' if printable != name else None
    if _leaves(path, root):
        problem = _LEAVES_SOURCE
    return VideoSource(printable, path, label=parts[0] if len(parts) > 1 and not problem else None, problem=problem)


def _is_video(path: Path, root: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in CLIP_SUFFIXES | DICOM_SUFFIXES:
        return True
    return not _leaves(path, root) and is_dicom(path)  # which looks into a file without suffix


def _open_row(root: Path, row: dict) -> VideoSource:
    path = root / row['path']
    problem = None if path.exists() else 'missing: the index lists it, but there is no such file or folder'
    if _leaves(path, root):
        problem = _LEAVES_SOURCE
    return VideoSource(row['path'], path, row['label'], row['patient_id'], row['split'], problem)


def _leaves(path: Path, root: Path) -> bool:
    return not path.resolve().is_relative_to(root.resolve())
