"""Write a web page that shows what a backbone learned in pretraining.

python tools/analysis/report_pretraining.py CONFIG CHECKPOINT --out report.html
"""

import sys
from collections.abc import Sequence

from uscl.core.command_line import as_command, command_line
from uscl.core.options import parse_options
from uscl.options.report_options import ReportOptions
from uscl.reports.html_page import number, percent


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, write the page, and print the numbers."""
    options = parse_options(ReportOptions, argv, __doc__)
    command = command_line('tools/analysis/report_pretraining.py', argv)

    # Here, so that --help need not wait for the hosts.
    import mmpretrain.models  # noqa: F401  (registers backbones)
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    from uscl_plugin.evaluation.pretraining_report import report_pretraining

    init_default_scope('mmpretrain')
    MMLogger.get_instance('report', log_level='WARNING')  # otherwise MMEngine logs the initialisation of every weight
    facts = report_pretraining(options, command)
    for name in ('before', 'after'):
        measures = {key: float('nan') if value is None else value for key, value in facts[name].items()}
        print(
            f'{name:>6}: retrieval@1 {percent(measures["retrieval"])} of {facts["num_held_out"]} held-out frames '
            f'(chance {percent(measures["chance"])}), AUROC {number(measures["auroc"])}, gap {number(measures["gap"])}'
        )
    if facts['warning']:
        print(f'warning: {facts["warning"]}', file=sys.stderr)
    print(f'wrote {options.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
