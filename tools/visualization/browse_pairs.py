"""Show what a pretraining config feeds to the network: frames, mixing ratios, and both augmented views of some videos.

python tools/visualization/browse_pairs.py configs/uscl/uscl_resnet18_demo.py --out pairs.png
"""

import argparse
import sys

from mmengine.config import Config
from mmengine.registry import init_default_scope

from uscl.core.command_line import as_command
from uscl.reports.figures import check_picture, save_picture, triplet_sheet
from uscl_plugin.evaluation.spg_examples import mixes_first, spg_rows


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='pretraining config')
    parser.add_argument('--out', required=True, metavar='PAIRS.png', help='picture to write (.png, .jpg, .pdf, .svg)')
    parser.add_argument('--num', type=int, default=6, help='videos, spread over the data (default: %(default)s)')
    parser.add_argument('--epoch', type=int, default=0, help='whose draws, from 0 (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the run whose draws to show (default: %(default)s)')
    parser.add_argument('--data-root', metavar='DIR', help='folder of other data with annotations.json')
    parser.add_argument('--split', help="other split of the annotation, or 'all'")
    parser.add_argument('--dpi', type=int, default=150, help='resolution of the picture (default: %(default)s)')
    args = parser.parse_args(argv)
    if min(args.num, args.dpi) < 1 or args.epoch < 0:
        parser.error('--num and --dpi should be at least 1, --epoch at least 0')
    return args


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = parse_args(argv)
    init_default_scope('mmpretrain')
    check_picture(args.out)
    cfg = Config.fromfile(args.config)
    if 'train_dataloader' not in cfg:
        raise ValueError(f'{args.config} has no train_dataloader: pass the config of a pretraining.')
    rows = spg_rows(cfg, args.num, args.seed, args.data_root, args.split, args.epoch)
    if not rows:
        raise ValueError(
            f'{args.config}: the pipeline should draw one to three frames, make one or two views of them, and list '
            f"'frame_inds' in the meta_keys of PackInputs."
        )
    save_picture(triplet_sheet(rows), args.out, args.dpi)
    order = ''
    if any(row['mix_ratios'] for row in rows):
        order = ', mixed, then augmented' if mixes_first(cfg) else ', augmented, then mixed'
    print(f'{args.out}: {len(rows)} videos, epoch {args.epoch} of a run with seed {args.seed}{order}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
