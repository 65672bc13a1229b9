"""Show where fine-tuned classifiers look: class activation maps side by side.

python tools/visualization/gradcam.py CONFIG CKPT clip.mp4 frame.png --out sheet.png --compare scratch=OTHER_CKPT
"""

import argparse
import functools
import sys

from mmengine.config import Config
from mmengine.registry import init_default_scope

from uscl.core.command_line import as_command, positive_int
from uscl.reports.figures import check_picture, save_picture
from uscl_plugin.evaluation.backbones import split_spec, unique_names
from uscl_plugin.evaluation.gradcam import METHODS, CamClassifier
from uscl_plugin.evaluation.gradcam_sheet import heat_sheet, read_images


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='fine-tuning config (ImageClassifier with a ResNet and a head)')
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint of a run with it: PATH or NAME=PATH')
    parser.add_argument(
        'images', metavar='IMAGE', nargs='+', help='image, folder of images, or video or DICOM file (middle frame)'
    )
    parser.add_argument('--out', required=True, metavar='SHEET.png', help='picture to write (.png, .jpg, .pdf, .svg)')
    parser.add_argument(
        '--compare', action='append', default=[], metavar='NAME=CKPT', help='another checkpoint; may be repeated'
    )
    parser.add_argument('--target', metavar='CLASS', help='class to map, by name or index (default: the predicted one)')
    parser.add_argument('--method', default='gradcam', choices=METHODS, help='(default: %(default)s)')
    parser.add_argument('--num', type=int, default=6, help='images of a folder at most (default: %(default)s)')
    parser.add_argument('--frame-size', type=positive_int, default=256, help="as the converter's --size (default: 256)")
    parser.add_argument('--dpi', type=int, default=150, help='resolution of the picture (default: %(default)s)')
    args = parser.parse_args(argv)
    if args.num < 1 or args.dpi < 1:
        parser.error('--num and --dpi should be at least 1')
    return args


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = parse_args(argv)
    init_default_scope('mmpretrain')
    check_picture(args.out)
    specs = [args.checkpoint, *args.compare]
    cfg = Config.fromfile(args.config)
    names = unique_names(specs)
    classifiers = {name: CamClassifier(cfg, split_spec(s)[1]) for name, s in zip(names, specs, strict=True)}
    note = functools.partial(print, 'skipped', file=sys.stderr)
    images = list(read_images(args.images, args.num, note, args.frame_size))
    if not images:
        raise ValueError('no image could be read: pass images, folders of images, videos or DICOM files.')
    figure = heat_sheet(images, classifiers, args.target, args.method)
    save_picture(figure, args.out, args.dpi)
    print(f'{args.out}: {len(images)} images, {args.method} of {", ".join(names)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
