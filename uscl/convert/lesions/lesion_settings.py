"""What a conversion of lesion images does."""

from dataclasses import dataclass
from typing import Annotated, Literal

from uscl.core.options import Arg


@dataclass(frozen=True)
class LesionSettings:
    """What a conversion does.

    Attributes:
        kind: How the source is laid out, see ``EXPECTED`` in :mod:`uscl.convert.lesions.lesion_sources`.
        classes: 1: lesion; 2: benign and malignant.
        min_area: Drop connected regions with fewer pixels.
        val: Number of images to hold back for validation, by patient where known.
        folds: Number of folds for cross-validation, by patient where known.
        seed: Another seed gives another split.

    Raises:
        ValueError: Both ``val`` and ``folds`` are given.
    """

    kind: str
    classes: Literal[1, 2] = 1
    min_area: Annotated[int, Arg('N', at_least=1)] = 20
    val: Annotated[int | None, Arg('N', at_least=1)] = None
    folds: Annotated[int | None, Arg('K', at_least=2)] = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that the options can be combined."""
        if self.val is not None and self.folds is not None:
            raise ValueError('--val and --folds exclude each other: give one of them.')

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categories, in the order of their ids."""
        return ('lesion',) if self.classes == 1 else ('benign', 'malignant')
