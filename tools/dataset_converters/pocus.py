"""Convert the POCUS lung data (covid, pneumonia, regular) into a dataset of video clusters.

SRC is a clone of github.com/jannisborn/covid19_ultrasound, its data folder, or a folder with pocus_videos/ and
dataset_metadata.csv; classes and patients are taken from that table. Or SRC is the folder of the five files
covid_data1.pkl to covid_data5.pkl of the authors of USCL: every distinct image becomes a video of one frame, and the
folds are kept. Their pickles are read without running anything in them. Run again, it goes on where it stopped.
"""

import argparse
import sys
from collections.abc import Sequence

from uscl.convert.pocus.pocus_clone import CLASSES, PROBES, find_clips
from uscl.convert.pocus.pocus_folds import convert_folds, list_fold_files
from uscl.convert.videos.common_arguments import add_common_arguments
from uscl.convert.videos.frame_decoding import StoreSettings
from uscl.convert.videos.source_split import split_sources
from uscl.convert.videos.video_conversion import convert_sources
from uscl.core.command_line import as_command, fraction, positive_float
from uscl.core.errors import SourceError

CLIP_OPTIONS = ('keep_images', 'fps', 'probe', 'viral', 'val_fraction', 'seed')


def make_parser() -> argparse.ArgumentParser:
    """The tool's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_arguments(parser)
    clips = parser.add_argument_group('for a clone')
    clips.add_argument('--fps', type=positive_float, default=3.0, help='frames kept in a second (default: 3)')
    clips.add_argument(
        '--probe', choices=('all', *PROBES), default='all', help="the data set's paper used convex (default: all)"
    )
    # Neither the paper's experiments nor the folds of USCL have viral pneumonia: their pneumonia is bacterial. It can
    # look like COVID-19, which is viral, too, so that counting it as pneumonia would blur the two classes.
    clips.add_argument(
        '--viral',
        choices=('skip', 'pneumonia'),
        default='skip',
        help="what to do with viral pneumonia; the paper's pneumonia is bacterial (default: skip)",
    )
    clips.add_argument(
        '--val-fraction', type=fraction, metavar='F', help='hold this share back as split val, by patient where known'
    )
    clips.add_argument('--seed', type=int, default=0, help='another seed gives another split (default: 0)')
    return parser


@as_command(kept='what is finished is kept, run the same command again.')
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool.

    Args:
        argv: Arguments; None takes the command line's.

    Returns:
        Exit code: 0, 1 if nothing could be read or OUT is in use, 2 for a wrong request, 130 if interrupted.
    """
    parser = make_parser()
    args = parser.parse_args(argv)
    settings = StoreSettings(args.fps, args.size, args.color)
    fold_files = list_fold_files(args.src, args.out)
    if fold_files:
        given = [name for name in CLIP_OPTIONS if getattr(args, name) != parser.get_default(name)]
        if given:
            options = ', '.join(f'--{name.replace("_", "-")}' for name in given)
            raise SourceError(f'{options} is for clips, and {args.src} holds the pickled folds: drop it.')
        return convert_folds(fold_files, args.out, settings)
    clips, remarks = find_clips(args.src, args.out, args.probe, args.viral)
    if args.val_fraction is not None:
        clips = split_sources(clips, args.val_fraction, args.seed)
    chosen = {'probe': args.probe, 'viral': args.viral}
    code = convert_sources(clips, args.out, settings, CLASSES, args.workers, args.keep_images, **chosen)
    for remark in remarks:
        print(remark)
    return code


if __name__ == '__main__':
    sys.exit(main())
