"""Convert clips and frame folders into a dataset of video clusters.

SRC contains class folders of clips (videos, DICOM files, image stacks, frame folders: CLASS/CLIP/0.png), or clips
without labels, or any layout with an index.csv (path,label,patient_id[,split]). Running it again resumes where it
stopped. From DICOM files, pixels and frame times are used, and PatientID for grouping: docs/privacy.md.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from uscl.convert.privacy.privacy_options import PrivacyOptions
from uscl.convert.videos.converter_options import ClipOptions
from uscl.convert.videos.store_settings import StoreSettings
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options


@dataclass(frozen=True, kw_only=True)
class Options(PrivacyOptions, ClipOptions):
    """Options of the tool.

    Attributes:
        index: Path,label,patient_id[,split] (default: SRC/index.csv, if any).
        classes: Class names in order (default: sorted labels).
        stills: Treat every image as a separate still, not as a frame of the clip in its folder.
    """

    index: Annotated[str | None, Arg('CSV')] = None
    classes: Annotated[list[str] | None, Arg('NAME')] = None
    stills: bool = False


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
    from uscl.clips.discovery import find_sources
    from uscl.convert.videos.source_split import split_sources
    from uscl.convert.videos.video_conversion import convert_sources
    from uscl.reports.overview_page import conversion_overview

    found = find_sources(options.src, options.index, options.classes, options.out, options.follow_links, options.stills)
    found = options.protect(found, options.out, options.dry_run)
    if options.val_fraction is not None:
        found = replace(found, sources=split_sources(found.sources, options.val_fraction, options.seed))
    settings = StoreSettings(options.fps, options.size, options.color, options.static_tolerance, options.min_frames)
    private = options.metainfo()
    return convert_sources(
        found,
        options.out,
        settings,
        options.classes,
        options.workers,
        options.keep_images,
        remove_others=bool(private),
        dry_run=options.dry_run,
        overview=conversion_overview(options.out, found),
        cluster=options.cluster,
        **private,
    )


if __name__ == '__main__':
    sys.exit(main())
