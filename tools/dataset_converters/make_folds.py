"""Write DATA/folds.json, which configs/pocus take their folds from when MMPretrain's own tools train them."""

import argparse
import sys
from pathlib import Path

from uscl.core.command_line import as_command
from uscl.data.annotations import read_annotations
from uscl.data.fold_making import make_folds
from uscl.data.folds import write_folds


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', metavar='DATA', help='folder that a converter wrote')
    parser.add_argument('--folds', type=int, default=5, metavar='K', help='(default: 5)')
    parser.add_argument(
        '--seed', type=int, default=0, help='another seed gives other folds, where there is a choice (default: 0)'
    )
    parser.add_argument('--val-fraction', type=float, default=0.2, help='of each training part (default: 0.2)')
    args = parser.parse_args(argv)
    entries = read_annotations(Path(args.data, 'annotations.json'))['data_list']
    folds = make_folds(entries, args.folds, args.seed, val_fraction=args.val_fraction)
    write_folds(Path(args.data, 'folds.json'), folds)
    for number, fold in enumerate(folds.folds):
        print(f'fold {number}: ' + ', '.join(f'{len(ids)} videos in {side}' for side, ids in fold.items()))
    for warning in folds.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    return 0


if __name__ == '__main__':
    sys.exit(main())
