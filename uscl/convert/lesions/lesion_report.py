"""The report of a conversion to COCO."""

from collections.abc import Mapping, Sequence

from uscl.core.escaping import for_terminal
from uscl.core.tables import print_table

from .instances import LesionImage
from .lesion_sources import Skipped


def print_report(parts: Mapping[str, Sequence[LesionImage]], notes: Sequence[str], skipped: Sequence[Skipped]) -> None:
    """Print to stdout: a table of the parts, each skipped file with its reason, and notes.

    Args:
        parts: Images of every row of the table; together they are all images.
        notes: Sentences.
        skipped: Files that were left out.
    """
    everything = [image for images in parts.values() for image in images]
    classes = sorted({lesion.class_name for image in everything for lesion in image.lesions})
    classes = classes if len(classes) > 1 else []
    rows = [(name, *_count_cells(images, classes)) for name, images in parts.items()]
    header = ('split', 'images', 'lesions', *classes, 'negatives', 'patients')
    print_table(header, rows, ('total', *_count_cells(everything, classes)))
    for line in (*(f'skipped {path}: {reason}' for path, reason in skipped), *notes):
        print(for_terminal(line))


def _count_cells(images: Sequence[LesionImage], classes: Sequence[str]) -> list[str]:
    found = [lesion.class_name for image in images for lesion in image.lesions]
    patients = {image.source.patient_id for image in images} - {None}
    negatives = sum(not image.lesions for image in images)
    counts = [len(images), len(found), *(found.count(name) for name in classes), negatives, len(patients) or '-']
    return [str(count) for count in counts]
