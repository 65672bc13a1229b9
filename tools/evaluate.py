r"""Evaluate backbones on labelled clips by patient-wise cross-validation.

Every CHECKPOINT (PATH, NAME=PATH, or `random` for an untrained network) is fine-tuned or probed on K folds with N
seeds. Three ways to select the epoch (or a probe's setting) are reported side by side: best-on-test (as in the paper's
code; inflated), last (fixed, for probes), and inner-val (selected on patients other than the test patients; the honest
one). OUT receives metrics.json, table.md, report.html, the folds and all predictions. Running it again resumes where it
stopped; checkpoints and seeds may be added (name them, because without NAME= a name can change when others are added).

    python tools/evaluate.py random uscl=work_dirs/uscl/epoch_300.pth --data data/pocus --folds 5 --seeds 3 \
        --protocol finetune3 --out work_dirs/pocus_finetune3
"""

import sys
from functools import partial

from uscl.core.command_line import as_command, command_line
from uscl.core.options import parse_options
from uscl.options.evaluation_options import EvaluationOptions


@as_command(kept='finished folds are kept; run the same command again to resume.')
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(EvaluationOptions, argv, __doc__)
    # Here, so that --help need not wait for the hosts.
    from uscl.stats.evaluation_summary import markdown_table
    from uscl_plugin.evaluation.evaluation_run import evaluate

    print(markdown_table(evaluate(options, command_line('tools/evaluate.py', argv), partial(print, flush=True))))
    print(f'wrote {options.out}/metrics.json, table.md and report.html')
    return 0


if __name__ == '__main__':
    sys.exit(main())
