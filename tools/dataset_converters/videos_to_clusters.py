"""Convert clips and folders of frames into a dataset of video clusters.

SRC holds class folders of clips (mp4 avi gif mov mpeg mpg m4v mkv webm), of DICOM files, or of folders of frames; or
clips without labels; or anything with an index.csv (path,label,patient_id[,split]). Run again, it goes on where it
stopped. Of a DICOM file, pixels and frame times are used, and PatientID to group: docs/privacy.md.
"""

import argparse
import sys
from collections.abc import Sequence

from uscl.clips.discovery import find_sources
from uscl.convert.privacy.privacy_options import add_privacy_arguments, mask_tolerance, privacy_metainfo, protect
from uscl.convert.videos.common_arguments import add_common_arguments
from uscl.convert.videos.frame_decoding import StoreSettings
from uscl.convert.videos.source_split import split_sources
from uscl.convert.videos.video_conversion import convert_sources
from uscl.core.command_line import as_command, fraction, positive_float


@as_command(kept='what is finished is kept, run the same command again.')
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool.

    Args:
        argv: Arguments; None takes the command line's.

    Returns:
        Exit code: 0, 1 if nothing could be read or OUT is in use, 2 for a wrong request, 130 if interrupted.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_arguments(parser)
    parser.add_argument('--index', metavar='CSV', help='path,label,patient_id[,split] (default: SRC/index.csv, if any)')
    parser.add_argument('--classes', nargs='+', metavar='NAME', help='class names in order (default: sorted labels)')
    parser.add_argument('--fps', type=positive_float, default=3.0, help='frames kept in a second (default: 3)')
    parser.add_argument(
        '--val-fraction', type=fraction, metavar='F', help='hold this share back as split val, by patient where known'
    )
    add_privacy_arguments(parser)
    parser.add_argument('--seed', type=int, default=0, help='another seed gives another split (default: 0)')
    args = parser.parse_args(argv)
    sources = find_sources(args.src, args.index, args.classes, args.out)
    sources = protect(sources, args)
    if args.val_fraction is not None:
        sources = split_sources(sources, args.val_fraction, args.seed)
    settings = StoreSettings(args.fps, args.size, args.color, mask_tolerance(args))
    private = privacy_metainfo(args)
    return convert_sources(
        sources,
        args.out,
        settings,
        args.classes,
        args.workers,
        args.keep_images,
        remove_others=bool(private),
        **private,
    )


if __name__ == '__main__':
    sys.exit(main())
