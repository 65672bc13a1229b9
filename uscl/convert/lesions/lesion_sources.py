"""Find the images of a source folder with their masks, classes and patients."""

import os
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import NamedTuple

from uscl.clips.discovery import find_root
from uscl.clips.frame_folder import is_frame
from uscl.clips.source_index import find_index, read_index
from uscl.core.errors import SourceError
from uscl.core.escaping import UNPRINTABLE, is_printable
from uscl.core.natural_order import natural_key
from uscl.core.relative_path import leads_out

from .class_lists import name_key, read_class_lists

EXPECTED = {
    'udiat_b': 'folders original/ and GT/ with equal file names, and for classes Benign.txt and Malignant.txt',
    'busi': "folders benign/, malignant/ or normal/ with images such as 'benign (1).png' and 'benign (1)_mask.png'",
    'bus_uclm': 'folders images/ and masks/ with equal file names, and optionally index.csv',
    'pairs': 'folders images/ and masks/ with equal file names up to the suffix, and optionally index.csv',
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
        masks: Its masks, relative to the source; a pixel in any of them is lesion.
        label: Class of the image: 'benign', 'malignant', 'normal' or as in an index; None if unknown.
        patient_id: None if unknown.
    """

    path: Path
    masks: tuple[Path, ...]
    label: str | None = None
    patient_id: str | None = None


def find_lesions(kind: str, root: Path, with_classes: bool) -> tuple[list[LesionSource], list[Skipped]]:
    """List the images in a source folder that have masks, in natural order, and the files that are left out.

    Args:
        kind: A key of :data:`EXPECTED`.
        root: The source folder.
        with_classes: Whether every image needs a class (UDIAT-B only; others always or never have one).

    Raises:
        SourceError: No such folder, not a folder of this kind, or a wrong index or list.
    """
    root = find_root(root)
    if kind == 'busi':
        found, skipped = _find_busi(root)
    else:
        names = ('original', 'GT') if kind == 'udiat_b' else ('images', 'masks')
        images, masks = _require_folders(kind, root, names)
        folder = masks.relative_to(root)
        found, skipped = _pair(_group(root, images), _group(root, masks), lambda path: folder / path.name, most=1)
        if kind == 'udiat_b':
            found, more = _add_classes(root, found, with_classes)
        else:
            found, more = _add_index(kind, root, found, skipped)
        skipped += more
    invalid = [source for source in found if not is_printable(source.path.as_posix())]
    skipped += [Skipped(printable(source.path), f'its name {UNPRINTABLE}') for source in invalid]
    linked = [source for source in found if any(leads_out(root / path, root) for path in (source.path, *source.masks))]
    skipped += [
        Skipped(printable(source.path), 'a link out of the source, or its mask is: copy it') for source in linked
    ]
    found = [source for source in found if source not in invalid + linked]
    return sorted(found, key=lambda source: natural_key(source.path.as_posix())), skipped


def printable(path: Path) -> str:
    """The path with '/', and with a substitute for bytes that are not UTF-8."""
    return os.fsencode(path.as_posix()).decode('utf-8', errors='replace')


def _composed(path: Path) -> str:
    """The path as in an index, see :func:`uscl.core.tables.read_csv`."""
    return unicodedata.normalize('NFC', path.as_posix())


def _require_folders(kind: str, root: Path, names: Iterable[str]) -> list[Path]:
    folders = {path.name.lower(): path for path in root.iterdir() if path.is_dir()}
    if not all(name.lower() in folders for name in names):
        raise _wrong_kind(kind, root)
    return [folders[name.lower()] for name in names]


def _wrong_kind(kind: str, root: Path) -> SourceError:
    names = sorted((path.name + '/' * path.is_dir() for path in root.iterdir() if path.name[0] != '.'), key=natural_key)
    held = ', '.join(names[:8]) + (f' and {len(names) - 8} more' if len(names) > 8 else '')
    return SourceError(f'{root} is not a {kind} folder: expected {EXPECTED[kind]}; found {held or "nothing"}.')


def _group(root: Path, folder: Path, pattern: re.Pattern | None = None) -> dict[str, list[Path]]:
    """Images directly in a folder, relative to the source, by stem, or by the pattern's group where it matches."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        if is_frame(path) and path.is_file():
            match = pattern.fullmatch(path.stem) if pattern else None
            groups[match['stem'] if match else path.stem].append(path.relative_to(root))
    return groups


def _pair(
    image_of: dict[str, list[Path]],
    mask_of: dict[str, list[Path]],
    mask_name: Callable[[Path], Path],
    most: float = inf,
) -> tuple[list[LesionSource], list[Skipped]]:
    """Pair images with masks by stem.

    Args:
        image_of: Images by stem.
        mask_of: Masks by stem.
        mask_name: The path of an image's mask, for messages.
        most: Largest number of masks of an image.
    """
    found, skipped = [], []
    for stem in {**image_of, **mask_of}:
        images, masks = image_of.get(stem, []), mask_of.get(stem, [])
        if len(images) > 1 or len(masks) > most:
            reason = 'another file has the same name up to the suffix: rename or remove one'
            skipped += [Skipped(printable(path), reason) for path in images + masks]
        elif not images:
            skipped += [Skipped(printable(mask), 'a mask without an image: add the image') for mask in masks]
        elif not masks:
            reason = f'it has no mask: add {printable(mask_name(images[0]))}, all black if there is no lesion'
            skipped.append(Skipped(printable(images[0]), reason))
        else:
            found.append(LesionSource(images[0], tuple(masks)))
    return found, skipped


def _find_busi(root: Path) -> tuple[list[LesionSource], list[Skipped]]:
    folders = {path.name.lower(): path for path in root.iterdir() if path.is_dir()}
    if not any(name in folders for name in BUSI_CLASSES):
        raise _wrong_kind('busi', root)
    found: list[LesionSource] = []
    skipped: list[Skipped] = []
    for label in (name for name in BUSI_CLASSES if name in folders):
        groups = _group(root, folders[label], _MASK_NAME)
        image_of = {stem: [path for path in paths if path.stem == stem] for stem, paths in groups.items()}
        mask_of = {stem: [path for path in paths if path.stem != stem] for stem, paths in groups.items()}
        pairs, others = _pair(image_of, mask_of, lambda path: path.with_name(f'{path.stem}_mask.png'))
        found += [replace(source, label=label) for source in pairs]
        skipped += others
    return found, skipped


def _add_classes(root: Path, found: list[LesionSource], with_classes: bool) -> tuple[list[LesionSource], list[Skipped]]:
    classes = read_class_lists(root)
    labelled = [replace(source, label=classes.get(name_key(source.path.name))) for source in found]
    if not with_classes:
        return labelled, []
    if not any(source.label for source in labelled):
        tables = [path.name for path in root.iterdir() if path.suffix.lower() in ('.xls', '.xlsx')]
        remedy = f': save {tables[0]} as CSV' if tables else ''
        raise SourceError(
            f'{root} has no class list with its images; --classes 2 needs Benign.txt and Malignant.txt (one image name '
            f'per line), or a CSV file with the columns Image and Type{remedy}.'
        )
    reason = 'no list gives its class: add it to one, or use --classes 1'
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
            reason = f'{index.name} does not list it: add a row'
            unlisted.append(Skipped(printable(source.path), reason))
            continue
        label = row['label'].lower() if row['label'] else None
        listed.append(replace(source, label=label, patient_id=row['patient_id']))
    known = {_composed(source.path) for source in found} | {entry.path for entry in skipped}
    absent = [
        Skipped(path, f'missing: correct its row in {index.name}, or add the image') for path in rows.keys() - known
    ]
    return listed, unlisted + sorted(absent)
