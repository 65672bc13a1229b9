r"""Pretrain with several methods under equal conditions, evaluate all in the same way, and make one table.

Every METHOD is pretrained on the same videos with the same backbone, optimiser, input, fraction of labels, steps and
views (USCL uses one pair per video and epoch; the others get the same number of views, in batches of the same size),
then evaluated like tools/evaluate.py and, with --detection-data, as the backbone of a detector. Seed s is used for
pretraining, choice of labels, folds and evaluation. OUT receives results.json, table.md and table.png, with everything
else below. Running it again resumes where it stopped; methods and seeds may be added. If a run fails, it is reported,
the others continue, and the exit status is 1.

METHOD: random, imagenet (given weights); supervised, te (temporal ensembling), pi, fixmatch, mocov2, simclr, uscl; on
    USCL's pairs byol, simsiam, barlowtwins, mocov3, hico, meta-uscl; ivpp, ucl; from the paper's ablation vanilla,
    one-pair, mixed-pair, spg; NAME=METHOD:KEY=VALUE,… with keys of the config, or init=WEIGHTS; NAME=CONFIG.py;
    NAME=WEIGHTS.pth.

    python tools/compare.py --methods random supervised te pi fixmatch mocov2 simclr uscl \
        --pretrain-data data/covid_blues --eval-data data/pocus --seeds 3 --epochs 100 --size 64 --out work_dirs/compare
"""

import signal
import sys
from functools import partial

from uscl.core.command_line import as_command, command_line
from uscl.core.options import parse_options
from uscl.options.comparison_options import ComparisonOptions


@as_command(kept='finished runs are kept; run the same command again to resume.')
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(ComparisonOptions, argv, __doc__)
    # Here, so that --help need not wait for the hosts.
    from uscl_plugin.comparison.comparison import FINISHED
    from uscl_plugin.comparison.comparison_run import compare

    comparison = compare(options, command_line('tools/compare.py', argv), partial(print, flush=True))
    print((comparison.out / 'table.md').read_text(encoding='utf-8'))
    print(f'wrote {options.out}/results.json, table.md' + ' and table.png' * bool(comparison.runs))
    if failed := [f'{row.method} (seed {row.seed})' for row in comparison.rows if row.status != FINISHED]:
        print(f'error: {", ".join(failed)} failed, see above; run the same command to try again.', file=sys.stderr)
    return int(bool(failed))


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C, which also ends the current training run
    sys.exit(main())
