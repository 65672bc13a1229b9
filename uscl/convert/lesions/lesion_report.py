"""What a conversion to COCO prints."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from .instances import LesionImage
from .lesion_sources import Skipped


def print_report(parts: Mapping[str, Sequence[LesionImage]], notes: Sequence[str], skipped: Sequence[Skipped]) -> None:
    """Print to stdout: a table of the parts, notes, and each skipped file with its reason.

    Args:
        parts: Images of every row of the table; together they are all images.
        notes: Sentences.
        skipped: Files that were left out.
    """
    console = Console(highlight=False, soft_wrap=True)
    everything = [image for images in parts.values() for image in images]
    classes = sorted({lesion.class_name for image in everything for lesion in image.lesions})
    table = Table()
    table.add_column('split')
    for name in ('images', 'lesions', *(classes if len(classes) > 1 else ()), 'negatives', 'patients'):
        table.add_column(name, justify='right')
    for name, images in parts.items():
        table.add_row(name, *_count_cells(images, classes))
    table.add_section()
    table.add_row('total', *_count_cells(everything, classes))
    console.print(table)
    for entry in skipped:
        console.print(f'skipped {entry.path}: {entry.reason}', markup=False)
    for note in notes:
        console.print(note, markup=False)


def _count_cells(images: Sequence[LesionImage], classes: Sequence[str]) -> list[str]:
    found = [lesion.class_name for image in images for lesion in image.lesions]
    by_class = [str(found.count(name)) for name in classes] if len(classes) > 1 else []
    patients = {image.source.patient_id for image in images} - {None}
    negatives = sum(not image.lesions for image in images)
    return [str(len(images)), str(len(found)), *by_class, str(negatives), str(len(patients) or '-')]
