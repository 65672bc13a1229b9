"""Show where fine-tuned classifiers look: class activation maps of the frames that they predict from, side by side.

MODEL and CLIP are those of `uscl predict`, which gives the same class and probability:
uscl cam MODEL clip.mp4 folder_of_frames --out sheet.png --compare scratch=OTHER_MODEL
"""

import functools
import sys
from dataclasses import dataclass, field
from typing import Annotated

from uscl.clips.given_clips import use_given
from uscl.clips.video_source import VideoSource
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.options.preparation_options import PreparationOptions
from uscl.reports.figures import check_picture, save_picture
from uscl_plugin.evaluation.backbones import split_spec, unique_names
from uscl_plugin.evaluation.classifier import load_classifier
from uscl_plugin.evaluation.gradcam import METHODS, find_class
from uscl_plugin.evaluation.gradcam_sheet import MappedFrame, heat_sheet, map_clip


@dataclass(frozen=True, kw_only=True)
class GradcamOptions(PreparationOptions):
    """Options of the maps.

    Attributes:
        model: Classifier, as PATH or NAME=PATH.
        clips: Clips to map, as for `uscl predict`.
        out: Picture to write (.png, .jpg, .pdf, .svg).
        compare: Another classifier; may be repeated.
        target: Class to map, by name or index (default: the one predicted for the clip).
        method: Method for the maps.
        num: Number of frames per clip, evenly spaced; 1 is the middle one.
        dpi: Resolution of the picture.
    """

    model: Annotated[str, Arg('MODEL', positional=True)]
    clips: Annotated[list[str], Arg('CLIP', positional=True)]
    out: Annotated[str, Arg('SHEET.png')]
    compare: Annotated[list[str], Arg('NAME=MODEL', action='append')] = field(default_factory=list)
    target: Annotated[str | None, Arg('CLASS')] = None
    method: Annotated[str, Arg(choices=tuple(METHODS))] = 'gradcam'
    num: Annotated[int, Arg(at_least=1)] = 1
    dpi: Annotated[int, Arg(at_least=1)] = 150


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(GradcamOptions, argv, __doc__)
    check_picture(options.out)
    specs = [options.model, *options.compare]
    names = unique_names(specs)
    classifiers = {name: load_classifier(split_spec(spec)[1]) for name, spec in zip(names, specs, strict=True)}
    if options.target is not None:
        for classifier in classifiers.values():
            find_class(classifier.classes, options.target)

    def map_source(source: VideoSource) -> list[tuple[str, dict[str, MappedFrame]]]:
        found = [
            map_clip(source.path, each, options.settings(each.settings), options.num, options.target, options.method)
            for each in classifiers.values()
        ]
        # Classifiers that were trained at another rate see other frames of a clip, and maybe fewer.
        return [(source.video_id, dict(zip(names, maps, strict=True))) for maps in zip(*found, strict=False)]

    tell = functools.partial(print, file=sys.stderr)
    clips = list(use_given(options.clips, map_source, tell, options.stills))
    rows = [row for clip in clips for row in clip]
    if not rows:
        raise ValueError('no clip could be read: pass videos, DICOM files, images, or folders of them.')
    save_picture(heat_sheet(rows), options.out, options.dpi)
    print(f'{options.out}: {len(rows)} frames of {len(clips)} clips, {options.method} of {", ".join(names)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
