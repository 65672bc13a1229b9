"""Convert breast ultrasound images with lesion masks into COCO annotations.

kinds of SRC:
  udiat_b    original/ and GT/ with equal file names (dataset B of Yap et al. 2018: 000001.png to 000163.png);
             for --classes 2 also Benign.txt and Malignant.txt with one image name per line, or a CSV file with the
             columns Image and Type: open DatasetB.xlsx, save it as CSV. The paper holds out 50 images: --val 50
  busi       benign/, malignant/, normal/ with "benign (1).png", "benign (1)_mask.png", "benign (1)_mask_1.png"
  bus_uclm   images/ and masks/ with equal file names; green is benign, red malignant, black background. Patients come
             from index.csv (path,label,patient_id) if there is one, else from the letters of names like ANFO_000.png
  pairs      any images/ and masks/ with equal names up to the suffix, masks black and white; index.csv as above

Every connected region of a mask is one instance; a mask without any makes a negative image. Black and transparent
pixels are background. In a black and white mask (also 16-bit, smoothed or compressed) a pixel is lesion from half of
the full value on. Without compression, the values 1 to 31, or several colours, number the lesions of one class, which
may touch; in bus_uclm colours are classes, and a pixel belongs to the stronger of red and green. A mask that could be
read in two ways, such as one with a lesion in grey, is left out and listed in skipped.csv.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from uscl.convert.lesions.lesion_settings import LesionSettings
from uscl.convert.lesions.lesion_sources import EXPECTED
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options


@dataclass(frozen=True, kw_only=True)
class Options(LesionSettings):
    """Options of the tool.

    Attributes:
        kind: Layout of SRC, see above.
        src: Source folder, which is only read.
        out: Output folder for images/, annotations/ and overview.jpg.
        no_overview: Do not draw sheets of images with outlines.
    """

    kind: Annotated[str, Arg(choices=tuple(EXPECTED), positional=True)]
    src: Annotated[str, Arg('SRC', positional=True)]
    out: Annotated[str, Arg('DIR')]
    no_overview: bool = False


@as_command(kept='finished images are kept; run the same command again to resume.')
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        Exit code: 0, 1 if nothing could be read or OUT is in use, 2 for a wrong request, 130 if interrupted.
    """
    options = parse_options(Options, argv, __doc__)
    # Here, so that --help need not wait for it.
    from uscl.convert.lesions.lesion_conversion import convert_lesions

    return convert_lesions(options.src, options.out, options, overview=not options.no_overview)


if __name__ == '__main__':
    sys.exit(main())
