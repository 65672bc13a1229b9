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
        labels: A table with labels of the clips, by path or file name; they replace those of index and folders.
        label_column: Its column of labels.
        name_column: Its column of clip names (default: the first).
        classes: Class names in order (default: sorted labels).
        third_axis_time: The third axis of NIfTI, NRRD and MetaImage files is time, even where their header is silent.
        stills: Treat every image as a separate still, not as a frame of the clip in its folder.
    """

    index: Annotated[str | None, Arg('CSV')] = None
    labels: Annotated[str | None, Arg('CSV')] = None
    label_column: Annotated[str | None, Arg('NAME')] = None
    name_column: Annotated[str | None, Arg('NAME')] = None
    classes: Annotated[list[str] | None, Arg('NAME')] = None
    third_axis_time: bool = False
    stills: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.labels is None) != (self.label_column is None):
            raise ValueError('--labels and --label-column belong together: give both, or neither.')
        if self.name_column is not None and self.labels is None:
            raise ValueError('--name-column is for --labels: give that too, or remove it.')


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
    from uscl.clips.label_table import label_by_table, read_label_table
    from uscl.convert.videos.source_split import split_sources
    from uscl.convert.videos.video_conversion import convert_sources
    from uscl.reports.overview_page import conversion_overview

    # Labels of an index that a table replaces need not be among the classes.
    classes = None if options.labels else options.classes
    found = find_sources(options.src, options.index, classes, options.out, options.follow_links, options.stills)
    if options.labels is not None and options.label_column is not None:
        table = read_label_table(options.labels, options.label_column, options.name_column)
        found = label_by_table(found, table, options.labels, options.classes)
    found = options.protect(found, options.out, options.dry_run)
    if options.val_fraction is not None:
        found = replace(found, sources=split_sources(found.sources, options.val_fraction, options.seed))
    settings = StoreSettings(
        options.fps,
        options.size,
        options.color,
        options.static_tolerance,
        options.min_frames,
        options.third_axis_time,
    )
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
