r"""Judge backbones on labelled clips by cross-validation that keeps patients together.

Every CHECKPOINT (PATH, NAME=PATH, or `random` for a network that was never trained) is fine-tuned or probed on K folds
and N seeds. Three choices of the epoch (or of a probe's setting) are reported side by side: best-on-test (what the
paper's code does; too good), last (fixed, for probes), and inner-val (chosen on other patients than those tested on;
the honest one). OUT gets metrics.json, table.md, report.html, the folds and all predictions. Run again, it goes on
where it stopped; further checkpoints and seeds may be added (name them: without NAME= a name can change with others).

    python tools/evaluate.py random uscl=work_dirs/uscl/epoch_300.pth --data data/pocus --folds 5 --seeds 3 \
        --protocol finetune3 --out work_dirs/pocus_finetune3
"""

import sys
from functools import partial

from uscl.core.command_line import as_command, command_line
from uscl.core.options import parse_options
from uscl.stats.evaluation_summary import markdown_table
from uscl_plugin.evaluation.evaluation_run import evaluate
from uscl_plugin.evaluation.options import EvaluationOptions


@as_command(kept='finished folds are kept, the same command goes on from there.')
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(EvaluationOptions, argv, __doc__)
    print(markdown_table(evaluate(options, command_line('tools/evaluate.py', argv), partial(print, flush=True))))
    print(f'wrote {options.out}/metrics.json, table.md and report.html')
    return 0


if __name__ == '__main__':
    sys.exit(main())
