"""Convert a folder of lesion images into COCO annotations."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from rich.console import Console
from rich.progress import track

from uscl.clips.discovery import find_root
from uscl.clips.image_opening import read_frame
from uscl.convert.output_folder import output_folder
from uscl.core.errors import SourceError
from uscl.core.plurals import counted
from uscl.core.tables import write_csv
from uscl.data.png_frames import write_png
from uscl.version import __version__

from .coco_files import coco_annotations, coco_images, write_coco
from .instances import LesionImage, read_lesions
from .lesion_report import print_report
from .lesion_settings import LesionSettings
from .lesion_sources import Skipped, find_lesions, printable
from .lesion_split import assign_folds, hold_back
from .overview import remove_overview, write_overview

LARGEST_SHARE = 0.75  # of an image; a mask that covers more is suspicious


def convert_lesions(src: str | Path, out: str | Path, settings: LesionSettings, overview: bool = True) -> int:
    """Write ``images/``, ``annotations/``, ``overview.jpg`` and ``skipped.csv``, and print a report.

    Args:
        src: The source folder, which is only read.
        out: The output folder; annotations and overview of an earlier run are replaced.
        settings: See :class:`LesionSettings`.
        overview: Whether to draw sheets of all images.

    Returns:
        Exit code: 0, or 1 if no image could be read.

    Raises:
        SourceError: The source or the request is wrong, or ``out`` cannot be written.
        FolderInUseError: Another process is writing to it.
    """
    root, out = find_root(src, out), Path(out)
    if settings.kind == 'pairs' and settings.classes == 2:
        raise SourceError('masks of pairs have one class: use --classes 1, or another kind.')
    images, skipped = read_images(root, settings)
    with output_folder(out):
        write_csv(out / 'skipped.csv', ('path', 'reason'), skipped)
        if not images:
            print_report({}, [f'No image of {root} could be read.'], skipped)
            return 1
        held = split_images(images, settings)
        names = unique_names([stored_path(image) for image in images])
        notes = describe(images, names, held, settings)
        copy_images(root, out / 'images', images, names)
        write_annotations(root, out / 'annotations', images, names, held, settings)
        parts = {name: [i for i, part in zip(images, held, strict=True) if part == name] for name in sorted(set(held))}
        remove_overview(out)
        if overview:
            captions = [f'{name}  ({part})' for name, part in zip(names, held, strict=True)]
            pages = write_overview(out, root, images, captions, f'{settings.kind}: {counted(len(images), "image")}')
            notes.append(f'Look at {pages[0]}' + (f' to {pages[-1].name}.' if len(pages) > 1 else '.'))
        print_report(parts, notes, skipped)
    return 0


def read_images(root: Path, settings: LesionSettings) -> tuple[list[LesionImage], list[Skipped]]:
    """Open all images and masks, with a progress bar on stderr.

    Raises:
        SourceError: See :func:`uscl.convert.lesions.lesion_sources.find_lesions`.
    """
    sources, skipped = find_lesions(settings.kind, root, with_classes=settings.classes == 2)
    images = []
    for source in track(sources, 'Reading masks', console=Console(stderr=True), disable=not sources):
        try:
            images.append(read_lesions(root, source, settings.kind == 'bus_uclm', settings.min_area))
        except ValueError as error:
            skipped.append(Skipped(printable(source.path), str(error)))
    return images, skipped


def split_images(images: Sequence[LesionImage], settings: LesionSettings) -> list[str]:
    """The part of every image: 'train' or 'val', or the 'fold K' in which it is validated.

    Raises:
        SourceError: The images cannot be split like this.
    """
    sources = [(image.source.path.as_posix(), image.source.patient_id) for image in images]
    classes = [image.label or ('lesion' if image.lesions else 'normal') for image in images]
    items = [(name, label, patient) for (name, patient), label in zip(sources, classes, strict=True)]
    try:
        if settings.folds is not None:
            fold_of = assign_folds(items, settings.folds, settings.seed)
            return [f'fold {fold_of[name]:{len(str(settings.folds - 1))}d}' for name, _, _ in items]
        if settings.val is not None:
            held = hold_back(items, settings.val, settings.seed)
            return ['val' if name in held else 'train' for name, _, _ in items]
    except ValueError as error:
        raise SourceError(str(error)) from error
    return ['train'] * len(images)


def stored_path(image: LesionImage) -> Path:
    """The image's path, with the suffix under which it is stored: changed images become PNG files."""
    return image.source.path.with_suffix('.png') if image.changes else image.source.path


def unique_names(paths: Sequence[Path]) -> list[str]:
    """File names for one folder: a name that occurs twice (in any case) gets its folder's name as prefix."""
    often = Counter(path.name.casefold() for path in paths)
    names = [path.name if often[path.name.casefold()] == 1 else f'{path.parent.name}_{path.name}' for path in paths]
    unique: dict[str, str] = {}
    for name in names:
        while name.casefold() in unique:
            name = f'_{name}'
        unique[name.casefold()] = name
    return list(unique.values())


def copy_images(root: Path, folder: Path, images: Sequence[LesionImage], names: Sequence[str]) -> None:
    """Put the images into a folder as hard links, which need no space, or else as copies.

    Images that were turned or scaled to 8 bits are written as PNG files, so that every program reads them alike.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for image, name in zip(images, names, strict=True):
        source, target = (root / image.source.path).resolve(), folder / name
        target.unlink(missing_ok=True)
        if image.changes:
            write_png(target, read_frame(source)[0])
            continue
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)


def grouping(images: Sequence[LesionImage]) -> str:
    """What stays together in a split, in words."""
    unknown = sum(image.source.patient_id is None for image in images)
    if unknown == len(images):
        return 'single images (no patient is known)'
    return f'patients (unknown for {counted(unknown, "image")})' if unknown else 'patients'


def write_annotations(
    root: Path,
    folder: Path,
    images: Sequence[LesionImage],
    names: Sequence[str],
    held: Sequence[str],
    settings: LesionSettings,
) -> None:
    """Write the annotation files of all parts, replacing older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob('train.json'), *folder.glob('val.json'), *folder.glob('fold_*_*.json')):
        old.unlink()
    entries, annotations = coco_images(images, names), coco_annotations(images, settings.categories)
    info = {
        'description': f'Breast ultrasound lesions, converted from {settings.kind} by uscl_plugin {__version__}',
        'source': root.resolve().name,
        'settings': {field.name: getattr(settings, field.name) for field in fields(LesionSettings)},
        'grouping': grouping(images),
        'specks_dropped': sum(image.specks for image in images),
    }
    files = {}
    for number, part in enumerate(sorted(set(held))):
        inside = [entry for entry, other in zip(entries, held, strict=True) if other == part]
        if settings.folds is None:
            files[part] = inside
        else:
            files[f'fold_{number}_val'] = inside
            files[f'fold_{number}_train'] = [entry for entry in entries if entry not in inside]
    for name, chosen in files.items():
        write_coco(folder / f'{name}.json', chosen, annotations, settings.categories, {**info, 'split': name})


def describe(
    images: Sequence[LesionImage], names: Sequence[str], held: Sequence[str], settings: LesionSettings
) -> list[str]:
    """Sentences on what the table does not show."""
    notes = [
        f'{image.source.path.as_posix()} was renamed to {name}, since another image has its name.'
        for image, name in zip(images, names, strict=True)
        if stored_path(image).name != name
    ]
    if changed := [image for image in images if image.changes]:
        example = f'{changed[0].source.path.name} ({", ".join(changed[0].changes)})'
        notes.append(f'{counted(len(changed), "image")} written as PNG, upright and with 8 bits, such as {example}.')
    for image in images:
        worst = max((lesion.class_name for lesion in image.lesions), default='normal')
        if settings.kind == 'bus_uclm' and image.label != worst:
            notes.append(f'{image.source.path.name} is labelled {image.label}, but its mask is {worst}: kept the mask.')
    covered = [min(sum(lesion.area for lesion in image.lesions) / (image.width * image.height), 1) for image in images]
    if most := [k for k, share in enumerate(covered) if share > LARGEST_SHARE]:
        example = f'{images[most[0]].source.path.as_posix()} ({covered[most[0]]:.0%})'
        notes.append(
            f'WARNING: more than {LARGEST_SHARE:.0%} is lesion in {len(most)} of {counted(len(images), "image")}, such '
            f'as {example}: if black and white are swapped in the masks, make lesions white.'
        )
    if repeats := sum(image.repeats for image in images):
        first = next(image for image in images if image.repeats)
        notes.append(
            f'{counted(repeats, "lesion")} in two masks of an image, such as {first.source.path.name}: kept once.'
        )
    if specks := sum(image.specks for image in images):
        notes.append(f'{counted(specks, "speck")} below {settings.min_area} pixels dropped.')
    if settings.val is not None:
        reached = held.count('val')
        short = '' if reached == settings.val else f' instead of {settings.val}, since patients are not divided'
        notes.append(f'Validation has {counted(reached, "image")}{short}.')
    if settings.val is not None or settings.folds is not None:
        notes.append(f'What stays together: {grouping(images)}.')
    return notes
