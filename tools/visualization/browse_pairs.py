"""Show what a pretraining config feeds to the network: frames, mixing ratios, and both augmented views of some videos.

python tools/visualization/browse_pairs.py configs/uscl/uscl_resnet18_demo.py --out pairs.png
"""

import sys
from dataclasses import dataclass
from typing import Annotated

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options


@dataclass(frozen=True, kw_only=True)
class BrowseOptions:
    """Options of the figure.

    Attributes:
        config: Pretraining config.
        out: Picture to write (.png, .jpg, .pdf, .svg).
        num: Number of videos, spread over the data.
        epoch: Epoch of the draws, from 0.
        seed: Seed of the run whose draws to show.
        data_root: Folder with other data, containing annotations.json.
        split: Another split of the annotation, or 'all'.
        dpi: Resolution of the picture.
    """

    config: Annotated[str, Arg(positional=True)]
    out: Annotated[str, Arg('PAIRS.png')]
    num: Annotated[int, Arg(at_least=1)] = 6
    epoch: Annotated[int, Arg(at_least=0)] = 0
    seed: int = 0
    data_root: Annotated[str | None, Arg('DIR')] = None
    split: str | None = None
    dpi: Annotated[int, Arg(at_least=1)] = 150


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(BrowseOptions, argv, __doc__)
    # Here, so that --help need not wait for the hosts.
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from uscl.reports.figures import check_picture, save_picture, triplet_sheet
    from uscl_plugin.evaluation.spg_examples import mixes_first, spg_rows

    init_default_scope('mmpretrain')
    check_picture(options.out)
    cfg = Config.fromfile(options.config)
    if 'train_dataloader' not in cfg:
        raise ValueError(f'{options.config} has no train_dataloader: pass a pretraining config.')
    rows = spg_rows(cfg, options.num, options.seed, options.data_root, options.split, options.epoch)
    if not rows:
        raise ValueError(
            f'{options.config}: the pipeline should draw one to three frames, make one or two views of them, and list '
            f"'frame_inds' in the meta_keys of PackInputs."
        )
    save_picture(triplet_sheet(rows), options.out, options.dpi)
    order = ''
    if any(row['mix_ratios'] for row in rows):
        order = ', mixed, then augmented' if mixes_first(cfg) else ', augmented, then mixed'
    print(f'{options.out}: {len(rows)} videos, epoch {options.epoch} of a run with seed {options.seed}{order}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
