"""Find the videos of a source folder, by its index or by its folders."""

import os
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from uscl.core.errors import SourceError
from uscl.core.escaping import UNPRINTABLE, is_printable
from uscl.core.natural_order import natural_key
from uscl.core.plurals import counted
from uscl.core.relative_path import leads_out, real_path

from .dicom_header import is_dicom
from .folder_walk import LEADS_BACK, LEAVES_SOURCE, walk_files
from .frame_folder import is_frame
from .ignored_file import IgnoredFile, ignore_file, is_hidden
from .image_opening import is_stack
from .media_suffixes import READ_SUFFIXES, stack_suffix
from .source_findings import SourceFindings
from .source_index import find_index, read_index
from .video_source import VideoSource


def find_sources(
    root: str | Path,
    index: str | Path | None = None,
    classes: Sequence[str] | None = None,
    out: str | Path | None = None,
    follow_links: bool = False,
    stills: bool = False,
) -> SourceFindings:
    """Find the videos of a source folder.

    With an index (``index``, else ``root/index.csv`` in any case if there is one) these are its rows. Otherwise the
    folders are searched, see :func:`walk_sources`; a video's label is the first folder of its path, or None if it is
    directly in ``root``.

    Args:
        root: The source folder.
        index: A CSV file, see :func:`uscl.clips.source_index.read_index`.
        classes: Allowed labels; None allows any.
        out: Output folder; it is not searched, and must not be ``root`` itself.
        follow_links: Follow symbolic links out of the source.
        stills: Every image is a video of one frame.

    Raises:
        SourceError: No such folder, nothing in it, a wrong index, an index in a subfolder but none in ``root``, images
            that may be frames or stills, or a label that is not in ``classes``.
    """
    root = find_root(root, out)
    index = Path(index) if index is not None else find_index(root)
    if index is None:
        _refuse_parent(root, out)
    found = walk_sources(root, out, follow_links, stills)
    if index is not None:
        return _apply_index(root, index, classes, found, follow_links)
    if not found.sources:
        ignored = found.describe_ignored()
        raise SourceError(f'{root} holds no clip and no image: give another folder{ignored and "; "}{ignored}.', 1)
    _refuse_loose_images(root, found)
    for source in found.sources:
        if classes is not None and source.label is not None and source.label not in classes:
            what = f'its folder {source.label!r} is not one of --classes {" ".join(classes)}'
            raise SourceError(f'{source.path}: {what}: add the class, or rename the folder.')
    return found


def find_root(root: str | Path, out: str | Path | None = None) -> Path:
    """The source folder as a path, after a check that it exists and is not ``out``.

    Raises:
        SourceError: It is not a folder, or is ``out``.
    """
    root = Path(root)
    if not root.is_dir():
        what = 'is not a folder' if root.exists() else 'does not exist'
        raise SourceError(f'source {root} {what}: give the folder that holds the data.')
    if out is not None and Path(out).resolve() == root.resolve():
        raise SourceError(f'--out {out} is the source itself: give another folder.')
    return root


def walk_sources(
    root: str | Path, out: str | Path | None = None, follow_links: bool = False, stills: bool = False
) -> SourceFindings:
    """Find the clips, DICOM files, image stacks and folders of images below a folder; see :func:`find_sources`.

    Each of these is a video: a file with a clip's suffix, a DICOM file, an image with several pages, and a folder that
    directly holds other images (with ``stills``, each of these images).

    Raises:
        SourceError: Two videos would have the same id.
    """
    root = Path(root)
    sources: list[VideoSource] = []
    ignored: list[IgnoredFile] = []
    frames: dict[Path, str | None] = {}  # folders of images, and what is wrong with them
    for path, problem in walk_files(root, out, follow_links):
        name = _name(path, root)
        if problem is LEADS_BACK:
            ignored.append(IgnoredFile(name, LEADS_BACK))
        elif is_frame(path) and not stills and (problem or not is_stack(path)):
            frames[path.parent] = frames.get(path.parent) or problem
        elif path.is_dir() or path.suffix.lower() in READ_SUFFIXES or stack_suffix(path):
            sources.append(_open_found(root, path, problem))
        elif problem is not None:
            ignored.append(IgnoredFile(name, 'link out of the source', 'add --follow-links'))
        elif is_dicom(path):
            sources.append(_open_found(root, path, None))
        else:
            ignored.append(ignore_file(name))
    sources += [_open_found(root, folder, problem) for folder, problem in frames.items()]
    paths: dict[str, Path] = {}
    for source in sources:
        if (same := paths.get(source.video_id)) is not None:  # loose images are named after the source itself
            raise SourceError(f'{same} and {source.path} would both be video {source.video_id!r}: rename one.')
        paths[source.video_id] = source.path
    return SourceFindings(sorted(sources, key=lambda source: natural_key(source.video_id)), ignored)


def _name(path: Path, root: Path) -> str:
    """The path relative to the source, as valid UTF-8."""
    name = '/'.join(path.relative_to(root).parts or (root.resolve().name,))  # images directly in the source
    return os.fsencode(unicodedata.normalize('NFC', name)).decode('utf-8', errors='replace')


def _open_found(root: Path, path: Path, problem: str | None) -> VideoSource:
    parts = path.relative_to(root).parts
    if not is_printable('/'.join(parts)):
        problem = problem or f'its name {UNPRINTABLE}'
    label = unicodedata.normalize('NFC', parts[0]) if len(parts) > 1 and not problem else None
    return VideoSource(_name(path, root), path, label, problem=problem)


def _refuse_parent(root: Path, out: str | Path | None) -> None:
    """Refuse a source whose subfolders have an index: it holds several data sets, whose names would become classes."""
    below = [path for path in sorted(root.iterdir()) if path.is_dir() and not is_hidden(path)]
    if out is not None:
        below = [path for path in below if real_path(path) != real_path(out)]
    if indexed := [str(path) for path in below if find_index(path) is not None]:
        where = ', '.join(indexed[:4])
        raise SourceError(f'{root} has no index.csv, but {where} has: give that folder, or an index of all as --index.')


def _refuse_loose_images(root: Path, found: SourceFindings) -> None:
    """Refuse images directly in a class folder or the source: they may be frames of one clip, or many stills."""
    loose = [s.path for s in found.sources if s.path.is_dir() and not s.problem and root in (s.path, s.path.parent)]
    if loose:
        more = f' and in {counted(len(loose) - 1, "folder")} more' if len(loose) > 1 else ''
        raise SourceError(
            f'images directly in {loose[0]}{more} may be frames of a clip or stills: add --stills if they are stills; '
            f'otherwise put each clip into its own folder ({root}/CLASS/CLIP/0.png), or list the folders in index.csv.'
        )


def _apply_index(
    root: Path, index: Path, classes: Sequence[str] | None, found: SourceFindings, follow_links: bool
) -> SourceFindings:
    """The rows of an index as videos; everything else that was found is ignored."""
    rows, warnings = read_index(index, root, classes)
    if not rows:
        raise SourceError(f'{index} lists no clip: add a row per clip.', exit_code=1)
    names_in = cache(_names_in)
    walked = {source.video_id: source for source in found.sources}
    sources = []
    for row in rows:
        path = _find_listed(root, row['path'], names_in)
        same = walked.get(row['path'])
        problem = same.problem if same else None
        if not path.exists():
            problem = 'missing: correct its row in the index, or add the file'
        if not follow_links and any(leads_out(file, root) for file in (path, *_linked_frames(path))):
            problem = LEAVES_SOURCE
        sources.append(VideoSource(row['path'], path, row['label'], row['patient_id'], row['split'], problem))
    listed = {row['path'] for row in rows}
    ignored = [file for file in found.ignored if file.path not in listed]
    unlisted = f'that {index.name} does not list'
    for source in found.sources:
        if source.video_id not in listed:
            ignored += _ignore_unlisted(root, source, listed, unlisted)
    return SourceFindings(sorted(sources, key=lambda source: natural_key(source.video_id)), ignored, warnings)


def _ignore_unlisted(root: Path, source: VideoSource, listed: set[str], unlisted: str) -> list[IgnoredFile]:
    """What the index leaves out of a source; it may list single images of a folder."""
    if not source.path.is_dir() or source.problem:
        return [IgnoredFile(source.video_id, f'clip {unlisted}')]
    images = [_name(path, root) for path in source.path.iterdir() if is_frame(path)]
    if listed.isdisjoint(images):
        return [IgnoredFile(source.video_id, f'folder of images {unlisted}')]
    return [IgnoredFile(image, f'image {unlisted}') for image in images if image not in listed]


def _find_listed(root: Path, name: str, names_in: Callable[[Path], dict[str, Path]]) -> Path:
    """The file or folder of an index row; the disk may spell its characters differently (NFC, NFD)."""
    path = root / name
    if path.exists():
        return path
    found = root
    for part in path.relative_to(root).parts:
        found = names_in(found).get(part, found / part)
    return found


def _linked_frames(path: Path) -> list[Path]:
    """Also in a hidden folder, which is read only if an index lists it."""
    return [file for file in path.iterdir() if file.is_symlink()] if path.is_dir() else []


def _names_in(folder: Path) -> dict[str, Path]:
    try:
        return {unicodedata.normalize('NFC', path.name): path for path in folder.iterdir()}
    except OSError:
        return {}
