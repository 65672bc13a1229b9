"""Options shared by the converters of clips."""

from dataclasses import dataclass
from typing import Annotated

from uscl.clips.frame_sampling import MIN_FRAMES
from uscl.core.cluster_options import ClusterOptions
from uscl.core.options import Arg

from .store_settings import ColorMode


@dataclass(frozen=True, kw_only=True)
class ConverterOptions(ClusterOptions):
    """Options of all converters of clips.

    Attributes:
        src: Source folder, which is only read.
        out: Data folder to create or to continue.
        size: Largest shorter side of a stored frame in pixels.
        color: How to store a video: gray, color, or auto, which is gray if all of its frames are gray.
        keep_images: Also write frames as PNG files, to look at.
        workers: Processes (default: one per core).
        seed: Another seed gives another split.
        follow_links: Follow symbolic links out of SRC.
        dry_run: Only look at the first frame of every clip, report, and write OUT/overview.html.
    """

    src: Annotated[str, Arg('SRC', positional=True)]
    out: Annotated[str, Arg('DIR')]
    size: Annotated[int, Arg(at_least=1)] = 256
    color: ColorMode = 'auto'
    keep_images: bool = False
    workers: Annotated[int | None, Arg('N', at_least=1)] = None
    seed: int = 0
    follow_links: bool = False
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class ClipOptions(ConverterOptions):
    """Further options, of converters of clips with a frame rate.

    Attributes:
        fps: Frames kept per second.
        min_frames: Fewest frames kept of a short clip, evenly spaced; all if it has no more.
        val_fraction: Share of each class to hold back as split val, by patient where known.
    """

    fps: Annotated[float, Arg(above=0)] = 3.0
    min_frames: Annotated[int, Arg('N', at_least=1)] = MIN_FRAMES
    val_fraction: Annotated[float | None, Arg('F', at_least=0, below=1)] = None
