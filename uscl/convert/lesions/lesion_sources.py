"""Find the images of a source folder, with their masks, classes and patients."""

import os
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from uscl.clips.frame_folder import is_frame
from uscl.clips.source_index import find_index, read_index
from uscl.core.errors import SourceError
from uscl.core.natural_order import natural_key

from .class_lists import name_key, read_class_lists

EXPECTED = {
    'udiat_b': 'the folders original/ and GT/ with equal file names, and for classes Benign.txt and Malignant.txt',
    'busi': "folders benign/, malignant/ or normal/ with images such as 'benign (1).png' and 'benign (1)_mask.png'",
    'bus_uclm': 'the folders images/ and masks/ with equal file names, and maybe an index.csv',
    'pairs': 'the folders images/ and masks/ with equal file names up to the suffix, and maybe an index.csv',
}
BUSI_CLASSES = ('benign', 'malignant', 'normal')
_MASK_NAME = re.compile(r'(?P<stem>.+)_mask(_[0-9]+)?')
_PATIENT_CODE = re.compile(r'(?P<code>[A-Za-z]+)_[0-9]+')  # BUS-UCLM: ANFO_000.png is the first scan of patient ANFO


class Skipped(NamedTuple):
    """A file that is left out: its path in the source, with '/', and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class LesionSource:
    """One image, found but not yet opened.

    Attributes:
        path: The image, relative to the source.
        masks: Its masks, relative to the source; a pixel of any of them is lesion.
        label: Class of the image: 'benign', 'malignant', 'normal' or what an index says; None is unknown.
        patient_id: None is unknown.
    """

    path: Path
    masks: tuple[Path, ...]
    label: str | None = None
    patient_id: str | None = None


def find_lesions(kind: str, root: Path, with_classes: bool) -> tuple[list[LesionSource], list[Skipped]]:
    """List the images of a source folder that have masks, in natural order, and the files that are left out.

    Args:
        kind: A key of :data:`EXPECTED`.
        root: The source folder.
        with_classes: Whether every image has to have a class (UDIAT-B only; the others have it, or never do).

    Raises:
        SourceError: No such folder, not a folder of this kind, or a wrong index or list.
    """
    if not root.is_dir():
        what = 'is not a folder' if root.exists() else 'does not exist'
        raise SourceError(f'source {root} {what}: give the folder that holds {EXPECTED[kind]}.')
    if kind == 'busi':
        found, skipped = _find_busi(root)
    else:
        names = ('original', 'GT') if kind == 'udiat_b' else ('images', 'masks')
        found, skipped = pair_by_stem(root, *_require_folders(kind, root, names))
        if kind == 'udiat_b':
            found, more = _add_classes(root, found, with_classes)
        else:
            found, more = _add_index(kind, root, found, skipped)
        skipped += more
    unprintable = [source.path for source in found if not _is_utf8(source.path)]
    skipped += [Skipped(printable(path), 'its name is not valid UTF-8: rename it') for path in unprintable]
    found = [source for source in found if _is_utf8(source.path)]
    return sorted(found, key=lambda source: natural_key(source.path.as_posix())), skipped


def printable(path: Path) -> str:
    """The path with '/', with a substitute for bytes that are not UTF-8."""
    return os.fsencode(path.as_posix()).decode('utf-8', errors='replace')


def _composed(path: Path) -> str:
    """The path as an index has it, see :func:`uscl.core.tables.read_csv`."""
    return unicodedata.normalize('NFC', path.as_posix())


def _is_utf8(path: Path) -> bool:
    return printable(path) == path.as_posix()


def _require_folders(kind: str, root: Path, names: Iterable[str]) -> list[Path]:
    folders = {path.name.lower(): path for path in root.iterdir() if path.is_dir()}
    if not all(name.lower() in folders for name in names):
        raise _wrong_kind(kind, root)
    return [folders[name.lower()] for name in names]


def _wrong_kind(kind: str, root: Path) -> SourceError:
    names = sorted((path.name + '/' * path.is_dir() for path in root.iterdir() if path.name[0] != '.'), key=natural_key)
    held = ', '.join(names[:8]) + (f' and {len(names) - 8} more' if len(names) > 8 else '')
    return SourceError(f'{root} is no {kind} folder: expected {EXPECTED[kind]}; found {held or "nothing"}.')


def _group(root: Path, folder: Path, pattern: re.Pattern | None = None) -> dict[str, list[Path]]:
    """Images directly in a folder by stem (of names that match the pattern: by its group), relative to the source."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        if is_frame(path) and path.is_file():
            match = pattern.fullmatch(path.stem) if pattern else None
            groups[match['stem'] if match else path.stem].append(path.relative_to(root))
    return groups


def pair_by_stem(root: Path, images: Path, masks: Path) -> tuple[list[LesionSource], list[Skipped]]:
    """Pair the images of a folder with the masks of another that have the same name up to the suffix."""
    image_of, mask_of = _group(root, images), _group(root, masks)
    found, skipped = [], []
    for stem in {**image_of, **mask_of}:
        of_stem, masks_of_stem = image_of.get(stem, []), mask_of.get(stem, [])
        if len(of_stem) == len(masks_of_stem) == 1:
            found.append(LesionSource(of_stem[0], tuple(masks_of_stem)))
        elif len(of_stem) > 1 or len(masks_of_stem) > 1:
            reason = 'another file has the same name up to the suffix, so the mask is ambiguous: rename or remove one'
            skipped += [Skipped(printable(path), reason) for path in of_stem + masks_of_stem]
        elif of_stem:
            skipped.append(_without_mask(of_stem[0], masks.relative_to(root) / of_stem[0].name))
        else:
            skipped.append(_without_image(masks_of_stem[0]))
    return found, skipped


def _without_mask(image: Path, mask: Path) -> Skipped:
    return Skipped(printable(image), f'it has no mask: add {printable(mask)}, all black if there is no lesion')


def _without_image(mask: Path) -> Skipped:
    return Skipped(printable(mask), 'a mask without an image')


def _find_busi(root: Path) -> tuple[list[LesionSource], list[Skipped]]:
    folders = {path.name.lower(): path for path in root.iterdir() if path.is_dir()}
    if not any(name in folders for name in BUSI_CLASSES):
        raise _wrong_kind('busi', root)
    found, skipped = [], []
    for label in (name for name in BUSI_CLASSES if name in folders):
        for stem, paths in _group(root, folders[label], _MASK_NAME).items():
            images = [path for path in paths if path.stem == stem]
            masks = [path for path in paths if path.stem != stem]
            if len(images) > 1:
                reason = 'another image has the same name up to the suffix, so the mask is ambiguous: rename one'
                skipped += [Skipped(printable(image), reason) for image in images]
            elif not images:
                skipped += [_without_image(mask) for mask in masks]
            elif not masks:
                skipped.append(_without_mask(images[0], images[0].with_name(f'{stem}_mask.png')))
            else:
                found.append(LesionSource(images[0], tuple(masks), label))
    return found, skipped


def _add_classes(root: Path, found: list[LesionSource], with_classes: bool) -> tuple[list[LesionSource], list[Skipped]]:
    classes = read_class_lists(root)
    labelled = [replace(source, label=classes.get(name_key(source.path.name))) for source in found]
    if not with_classes:
        return labelled, []
    if not any(source.label for source in labelled):
        tables = [path.name for path in root.iterdir() if path.suffix.lower() in ('.xls', '.xlsx')]
        remedy = f'; open {tables[0]} and save it as CSV beside it' if tables else ''
        raise SourceError(
            f'--classes 2 needs Benign.txt and Malignant.txt (an image name a line), or a CSV file with the columns '
            f'Image and Type, in {root}; none there names an image of it{remedy}.'
        )
    reason = 'no list says whether it is benign or malignant: add it to one, or use --classes 1'
    unknown = [Skipped(printable(source.path), reason) for source in labelled if source.label is None]
    return [source for source in labelled if source.label is not None], unknown


def _add_index(
    kind: str, root: Path, found: list[LesionSource], skipped: list[Skipped]
) -> tuple[list[LesionSource], list[Skipped]]:
    index = find_index(root)
    if index is None:
        codes = [_PATIENT_CODE.fullmatch(source.path.stem) if kind == 'bus_uclm' else None for source in found]
        return [
            replace(source, patient_id=code['code'] if code else None)
            for source, code in zip(found, codes, strict=True)
        ], []
    listed_rows, warnings = read_index(index, root)
    for warning in warnings:
        print(f'warning: {warning}', file=sys.stderr)
    rows = {row['path']: row for row in listed_rows}
    listed, unlisted = [], []
    for source in found:
        row = rows.get(_composed(source.path))
        if row is None:
            reason = f'{index.name} does not list it, so its patient is not known: add a row'
            unlisted.append(Skipped(printable(source.path), reason))
            continue
        label = row['label'].lower() if row['label'] else None
        listed.append(replace(source, label=label, patient_id=row['patient_id']))
    known = {_composed(source.path) for source in found} | {entry.path for entry in skipped}
    absent = [
        Skipped(path, f'missing: {index.name} lists it, but there is no such image') for path in rows.keys() - known
    ]
    return listed, unlisted + sorted(absent)
