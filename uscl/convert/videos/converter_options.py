"""The options that the converters of clips share."""

from dataclasses import dataclass
from typing import Annotated

from uscl.clips.frame_sampling import MIN_FRAMES
from uscl.core.options import Arg

from .store_settings import ColorMode


@dataclass(frozen=True, kw_only=True)
class ConverterOptions:
    """What all converters of clips are asked for.

    Attributes:
        src: The source folder; it is only read.
        out: The dataset folder to make or to go on with.
        size: Largest shorter side of a stored frame in pixels.
        color: Auto stores a video as gray if all of its frames are; gray, color: store every video so.
        keep_images: Also write frames as PNG files, to look at.
        workers: Processes (default: one for every core).
        seed: Another seed gives another split.
        follow_links: Follow symbolic links that lead out of SRC.
        dry_run: Only look at the first frame of every clip: report, and write OUT/overview.html.
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
    """What converters of clips with a frame rate are asked for, too.

    Attributes:
        fps: Frames kept in a second.
        min_frames: Fewest frames kept of a short clip, evenly spaced, or all if it has no more.
        val_fraction: Hold this share back as split val, by patient where known.
    """

    fps: Annotated[float, Arg(above=0)] = 3.0
    min_frames: Annotated[int, Arg('N', at_least=1)] = MIN_FRAMES
    val_fraction: Annotated[float | None, Arg('F', at_least=0, below=1)] = None
