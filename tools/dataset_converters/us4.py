"""Convert US-4 as distributed by its authors: every image folder is one video, and its name's prefix is the class.

The annotation keeps the prefix (Rb1…Rb5 F0_…F4_ Reg Cov Ali Bli Ple Oth); a config's label_map maps them to the twelve
classes of US-4. Videos are split 8:2 into train and val within each prefix.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from uscl.clips.discovery import find_root, walk_sources
from uscl.clips.ignored_file import IgnoredFile
from uscl.clips.source_findings import SourceFindings
from uscl.convert.videos.converter_options import ConverterOptions
from uscl.convert.videos.store_settings import StoreSettings
from uscl.core.command_line import as_command
from uscl.core.errors import SourceError
from uscl.core.options import Arg, parse_options
from uscl.data.video_split import split_videos

# fmt: off
PREFIXES = ('Rb1', 'Rb2', 'Rb3', 'Rb4', 'Rb5',  # CLUST
            'F0_', 'F1_', 'F2_', 'F3_', 'F4_',  # Liver Fibrosis
            'Reg', 'Cov',  # Butterfly
            'Ali', 'Bli', 'Ple', 'Oth')  # COVID19-LUSMS
# fmt: on


@dataclass(frozen=True, kw_only=True)
class Options(ConverterOptions):
    """Options of the tool.

    Attributes:
        val_fraction: Fraction of videos in val.
    """

    val_fraction: Annotated[float, Arg('F', at_least=0, below=1)] = 0.2


def find_videos(src: str, out: str, val_fraction: float, seed: int, follow_links: bool = False) -> SourceFindings:
    """Find the image folders with their class and split; those with an unknown prefix carry a problem.

    Raises:
        SourceError: The source does not exist, or has no image folders.
    """
    root = find_root(src, out)
    walked = walk_sources(root, out, follow_links)
    folders = [source for source in walked.sources if source.path.is_dir() or source.problem]
    if not folders:
        raise SourceError(f'no image folder found in {root}: nothing could be read.', exit_code=1)
    labels = {source.video_id: source.path.resolve().name[:3] for source in folders if not source.problem}
    known = {video_id: label for video_id, label in labels.items() if label in PREFIXES}
    splits = split_videos(known, val_fraction, seed)
    unknown = f'its folder name starts with none of {" ".join(PREFIXES)}: rename it, or leave it out'
    videos = [
        replace(
            source,
            label=known.get(source.video_id),
            split=splits.get(source.video_id),
            problem=source.problem or (None if source.video_id in known else unknown),
        )
        for source in folders
    ]
    clips = [IgnoredFile(s.video_id, 'clip, not a folder of images') for s in walked.sources if s not in folders]
    return SourceFindings(videos, [*walked.ignored, *clips])


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
    from uscl.convert.videos.video_conversion import convert_sources
    from uscl.reports.overview_page import conversion_overview

    found = find_videos(options.src, options.out, options.val_fraction, options.seed, options.follow_links)
    settings = StoreSettings(size=options.size, color=options.color)
    # All frames of a folder are kept, so there is no sampling rate.
    return convert_sources(
        found,
        options.out,
        settings,
        PREFIXES,
        options.workers,
        options.keep_images,
        dry_run=options.dry_run,
        overview=conversion_overview(options.out, found),
        cluster=options.cluster,
        fps=None,
        min_frames=None,
    )


if __name__ == '__main__':
    sys.exit(main())
