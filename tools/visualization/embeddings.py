"""Show the features of a data set in the plane, one panel a backbone.

python tools/visualization/embeddings.py random USCL=work_dirs/uscl/epoch_300.pth --data data/pocus --out map.png
"""

import argparse
import sys

from mmengine.logging import MMLogger

from uscl.core.command_line import as_command
from uscl.data.video_folder import VideoFolder
from uscl.reports.embedding_map import GROUPINGS, METHODS, check_method, embedding_figure, lay_out, list_frames
from uscl.reports.figures import check_picture, save_picture
from uscl_plugin.evaluation.backbones import load_backbone, unique_names
from uscl_plugin.measures.features import extract_features
from uscl_plugin.weights.input_metadata import INPUT_KEYS, add_input_arguments


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'checkpoints', metavar='CHECKPOINT', nargs='+', help="PATH, NAME=PATH, or 'random' (untrained ResNet-18)"
    )
    parser.add_argument('--data', required=True, metavar='DIR', help='converted data set, with annotations.json')
    parser.add_argument('--out', required=True, metavar='FIG.png', help='picture to write (.png, .jpg, .pdf, .svg)')
    parser.add_argument('--method', default='tsne', choices=METHODS, help='(default: %(default)s)')
    parser.add_argument('--color', default='class', choices=GROUPINGS, help='what colours mean (default: %(default)s)')
    parser.add_argument('--size', type=int, default=224, help='side of the input in pixels (default: %(default)s)')
    parser.add_argument('--frames-per-video', type=int, metavar='N', help='at most N of each video (default: all)')
    parser.add_argument('--split', help='only the videos of this split (default: all)')
    parser.add_argument('--seed', type=int, default=0, help='of untrained weights and layout (default: %(default)s)')
    parser.add_argument('--dpi', type=int, default=150, help='resolution of the picture (default: %(default)s)')
    add_input_arguments(parser)
    args = parser.parse_args(argv)
    if min(args.size, args.dpi, args.frames_per_video or 1) < 1 or args.frames_per_video == 0:
        parser.error('--size, --dpi and --frames-per-video should be at least 1')
    return args


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = parse_args(argv)
    MMLogger.get_instance('embeddings', log_level='WARNING')  # else MMEngine lists the initialisation of every weight
    given = {key: getattr(args, key) for key in INPUT_KEYS}
    check_picture(args.out)
    check_method(args.method)
    names = unique_names(args.checkpoints)
    frames, groups = list_frames(args.data, args.color, args.frames_per_video, args.split)
    backbones = [load_backbone(spec, args.seed, given) for spec in args.checkpoints]
    folder, maps = VideoFolder(args.data), {}
    for name, backbone in zip(names, backbones, strict=True):
        features = extract_features(
            backbone.network, folder.frames(frames), args.size, backbone.mean, backbone.std, backbone.to_rgb
        )
        maps[name] = lay_out(features, args.method, args.seed)
    save_picture(embedding_figure(maps, groups, args.color), args.out, args.dpi)
    print(f'{args.out}: {len(frames)} frames by {args.color}, {args.method} of {", ".join(names)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
