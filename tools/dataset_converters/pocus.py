"""Convert the POCUS lung data (covid, pneumonia, regular) into a dataset of video clusters.

SRC is a clone of github.com/jannisborn/covid19_ultrasound, its data folder, or a folder with pocus_videos/ and
dataset_metadata.csv; classes and patients are taken from that table. Or SRC is the folder with the five files
covid_data1.pkl to covid_data5.pkl of the USCL authors: every distinct image becomes a video of one frame, and the folds
are kept. Their pickles are read without executing anything in them. Running it again resumes where it stopped. --fps,
--min-frames, --probe, --viral, --split-file, --val-fraction, --seed, --keep-images, --follow-links and --dry-run are
for a clone.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from uscl.convert.pocus.pocus_clone import CLASSES, find_clips
from uscl.convert.pocus.split_file import assign_splits, read_split_files
from uscl.convert.videos.converter_options import ClipOptions
from uscl.convert.videos.source_split import split_sources
from uscl.convert.videos.store_settings import StoreSettings
from uscl.core.command_line import as_command
from uscl.core.errors import SourceError
from uscl.core.options import Arg, option_name, parse_options

CLIP_OPTIONS = (
    *('keep_images', 'fps', 'min_frames', 'probe', 'viral', 'val_fraction', 'seed'),
    *('split_file', 'follow_links', 'dry_run'),
)


@dataclass(frozen=True, kw_only=True)
class Options(ClipOptions):
    """Options of the tool.

    Attributes:
        probe: Leave out clips from other probes; the dataset's paper used convex ones.
        viral: How to treat viral pneumonia; the paper's pneumonia is bacterial.
        split_file: A published split: SPLIT is train, val or test; FILE names clips, as JSON of UltraBench or as text
            with a name per line. Clips without split are left out.
    """

    probe: Literal['all', 'convex', 'linear'] = 'all'
    # Neither the paper's experiments nor the USCL folds contain viral pneumonia: their pneumonia is bacterial. Viral
    # pneumonia can look like COVID-19, which is also viral, so counting it as pneumonia would blur the two classes.
    viral: Literal['skip', 'pneumonia'] = 'skip'
    split_file: Annotated[list[str] | None, Arg('SPLIT=FILE')] = None


@as_command(kept='finished videos are kept; run the same command again to resume.')
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        Exit code: 0, 1 if nothing could be read or OUT is in use, 2 for a wrong request, 130 if interrupted.
    """
    options = parse_options(Options, argv, __doc__)
    # Here, so that --help need not wait for them.
    from uscl.convert.pocus.pocus_folds import convert_folds, list_fold_files
    from uscl.convert.videos.video_conversion import convert_sources
    from uscl.reports.overview_page import conversion_overview

    settings = StoreSettings(options.fps, options.size, options.color, min_frames=options.min_frames)
    fold_files = list_fold_files(options.src, options.out)
    if fold_files:
        given = [
            option_name(Options, name) for name in CLIP_OPTIONS if getattr(options, name) != getattr(Options, name)
        ]
        if given:
            raise SourceError(f'{", ".join(given)} is for clips, but {options.src} contains pickled folds: remove it.')
        return convert_folds(fold_files, options.out, settings)
    if options.split_file and options.val_fraction is not None:
        raise SourceError('--split-file and --val-fraction both divide the clips: give one of them.')
    splits = read_split_files(options.split_file or [])
    found = find_clips(options.src, options.out, options.probe, options.viral, options.follow_links)
    if splits:
        found = replace(found, sources=assign_splits(found.sources, splits))
    if options.val_fraction is not None:
        found = replace(found, sources=split_sources(found.sources, options.val_fraction, options.seed))
    return convert_sources(
        found,
        options.out,
        settings,
        CLASSES,
        options.workers,
        options.keep_images,
        dry_run=options.dry_run,
        overview=conversion_overview(options.out, found),
        cluster=options.cluster,
        probe=options.probe,
        viral=options.viral,
    )


if __name__ == '__main__':
    sys.exit(main())
