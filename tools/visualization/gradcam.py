"""Show where fine-tuned classifiers look: class activation maps side by side.

python tools/visualization/gradcam.py CONFIG CKPT clip.mp4 frame.png --out sheet.png --compare scratch=OTHER_CKPT
"""

import functools
import sys
from dataclasses import dataclass, field
from typing import Annotated

from mmengine.config import Config
from mmengine.registry import init_default_scope

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.reports.figures import check_picture, save_picture
from uscl_plugin.evaluation.backbones import split_spec, unique_names
from uscl_plugin.evaluation.gradcam import METHODS, CamClassifier
from uscl_plugin.evaluation.gradcam_sheet import heat_sheet, read_images


@dataclass(frozen=True, kw_only=True)
class GradcamOptions:
    """Options of the maps.

    Attributes:
        config: Fine-tuning config (ImageClassifier with a ResNet and a head).
        checkpoint: Checkpoint of a run with this config: PATH or NAME=PATH.
        images: Image, image folder, or video or DICOM file (middle frame).
        out: Picture to write (.png, .jpg, .pdf, .svg).
        compare: Another checkpoint; may be repeated.
        target: Class to map, by name or index (default: the predicted one).
        method: Method for the maps.
        num: Maximum number of images per folder.
        frame_size: Same as the converter's --size.
        dpi: Resolution of the picture.
    """

    config: Annotated[str, Arg(positional=True)]
    checkpoint: Annotated[str, Arg('CKPT', positional=True)]
    images: Annotated[list[str], Arg('IMAGE', positional=True)]
    out: Annotated[str, Arg('SHEET.png')]
    compare: Annotated[list[str], Arg('NAME=CKPT', action='append')] = field(default_factory=list)
    target: Annotated[str | None, Arg('CLASS')] = None
    method: Annotated[str, Arg(choices=tuple(METHODS))] = 'gradcam'
    num: Annotated[int, Arg(at_least=1)] = 6
    frame_size: Annotated[int, Arg(at_least=1)] = 256
    dpi: Annotated[int, Arg(at_least=1)] = 150


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(GradcamOptions, argv, __doc__)
    init_default_scope('mmpretrain')
    check_picture(options.out)
    specs = [options.checkpoint, *options.compare]
    cfg = Config.fromfile(options.config)
    names = unique_names(specs)
    classifiers = {name: CamClassifier(cfg, split_spec(s)[1]) for name, s in zip(names, specs, strict=True)}
    note = functools.partial(print, 'skipped', file=sys.stderr)
    images = list(read_images(options.images, options.num, note, options.frame_size))
    if not images:
        raise ValueError('no image could be read: pass images, image folders, videos or DICOM files.')
    figure = heat_sheet(images, classifiers, options.target, options.method)
    save_picture(figure, options.out, options.dpi)
    print(f'{options.out}: {len(images)} images, {options.method} of {", ".join(names)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
