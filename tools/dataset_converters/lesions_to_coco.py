"""Convert breast ultrasound images with lesion masks into COCO annotations.

kinds of SRC:
  udiat_b    original/ and GT/ with equal file names (data set B of Yap et al. 2018: 000001.png to 000163.png);
             for --classes 2 also Benign.txt and Malignant.txt with an image name a line, or a CSV file with the
             columns Image and Type: open DatasetB.xlsx, save it as CSV. The paper holds 50 images back: --val 50
  busi       benign/, malignant/, normal/ with "benign (1).png", "benign (1)_mask.png", "benign (1)_mask_1.png"
  bus_uclm   images/ and masks/ with equal file names; green is benign, red malignant, black background. Patients are
             those of index.csv (path,label,patient_id) if there is one, else the letters of names such as ANFO_000.png
  pairs      any images/ and masks/ with equal names up to the suffix, masks black and white; index.csv as above

Every connected region of a mask is one instance; a mask without any makes a negative image. In smoothed or compressed
masks a pixel belongs to the lesion from half of the full value on, and to the stronger of red and green.
"""

import argparse
import sys
from collections.abc import Sequence

from uscl.convert.lesions.lesion_conversion import LesionSettings, convert_lesions
from uscl.convert.lesions.lesion_sources import EXPECTED
from uscl.core.command_line import as_command, positive_int


def fold_count(text: str) -> int:
    """Argument type: an integer of at least 2."""
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f'{text} should be at least 2')
    return value


@as_command(kept='what is finished is kept, run the same command again.')
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool.

    Args:
        argv: Arguments; None takes the command line's.

    Returns:
        Exit code: 0, 1 if nothing could be read or OUT is in use, 2 for a wrong request, 130 if interrupted.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kind', choices=list(EXPECTED), help='how SRC is laid out, see above')
    parser.add_argument('src', metavar='SRC', help='the source folder; it is only read')
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='writes images/, annotations/ and overview.jpg here'
    )
    parser.add_argument(
        '--classes', type=int, choices=[1, 2], default=1, help='1 (default): lesion; 2: benign and malignant'
    )
    parser.add_argument(
        '--min-area', type=positive_int, default=20, metavar='N', help='drop regions below N pixels (default: 20)'
    )
    split = parser.add_mutually_exclusive_group()
    split.add_argument('--val', type=positive_int, metavar='N', help='hold N images back, whole patients where known')
    split.add_argument('--folds', type=fold_count, metavar='K', help='K folds for cross-validation, by patient too')
    parser.add_argument('--seed', type=int, default=0, help='another seed gives another split (default: 0)')
    parser.add_argument('--no-overview', action='store_true', help='draw no sheets of images with outlines')
    args = parser.parse_args(argv)
    settings = LesionSettings(args.kind, args.classes, args.min_area, args.val, args.folds, args.seed)
    return convert_lesions(args.src, args.out, settings, overview=not args.no_overview)


if __name__ == '__main__':
    sys.exit(main())
