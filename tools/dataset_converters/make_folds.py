"""Write DATA/folds.json, from which configs/pocus take their folds when MMPretrain's own tools train them."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.data.annotations import read_annotations
from uscl.data.fold_making import make_folds
from uscl.data.folds import write_folds


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        data: Folder written by a converter.
        folds: Number of folds, at least 2.
        seed: A different seed gives different folds, where there is a choice.
        val_fraction: Fraction of each training part used for validation, 0 to below 1.
    """

    data: Annotated[str, Arg('DATA', positional=True)]
    folds: Annotated[int, Arg('K')] = 5
    seed: int = 0
    val_fraction: float = 0.2


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    entries = read_annotations(Path(options.data, 'annotations.json'))['data_list']
    folds = make_folds(entries, options.folds, options.seed, val_fraction=options.val_fraction)
    write_folds(Path(options.data, 'folds.json'), folds)
    for number, fold in enumerate(folds.folds):
        print(f'fold {number}: ' + ', '.join(f'{len(ids)} videos in {side}' for side, ids in fold.items()))
    for warning in folds.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    return 0


if __name__ == '__main__':
    sys.exit(main())
