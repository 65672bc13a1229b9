r"""Compare detector runs: a table, its numbers, and curves.

python tools/analysis/summarise_detection.py uscl=work_dirs/uscl_0 uscl=work_dirs/uscl_1 scratch=work_dirs/scratch_0 \
    --out work_dirs/detection
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from uscl.core.atomic_files import write_atomically, write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options


@dataclass(frozen=True, kw_only=True)
class SummaryOptions:
    """Options of the comparison.

    Attributes:
        runs: Work folder of a tools/train.py run; runs with the same NAME are seeds or splits of one method.
        out: Output folder for table.md, summary.json and curves.png.
    """

    runs: Annotated[list[str], Arg('NAME=WORK_DIR', positional=True)]
    out: Annotated[str, Arg('DIR')]

    def __post_init__(self) -> None:
        if wrong := [run for run in self.runs if not all(run.partition('='))]:
            raise ValueError(f'{wrong[0]} should be NAME=WORK_DIR')


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(SummaryOptions, argv, __doc__)
    # Here, so that --help need not wait for them.
    from mmengine.fileio import dump

    from uscl.reports.detection_curves import training_curves
    from uscl.reports.detection_runs import DetectionRun, read_run, summarise_runs
    from uscl.reports.detection_table import detection_table
    from uscl.reports.figures import save_picture

    out, runs = Path(options.out), [run.split('=', 1) for run in options.runs]
    folders = [Path(work_dir).resolve() for _, work_dir in runs]
    if twice := next((folder for folder in folders if folders.count(folder) > 1), None):
        raise ValueError(f'{twice} is given twice: list each run once.')
    methods: dict[str, list[DetectionRun]] = {}
    for name, work_dir in runs:
        methods.setdefault(name, []).append(read_run(work_dir))
    summary = summarise_runs(methods)
    table = detection_table(summary)
    write_text(out / 'table.md', table)
    write_atomically(out / 'summary.json', lambda path: dump(summary, path, file_format='json', indent=1))
    save_picture(training_curves(methods), out / 'curves.png')
    print(table)
    print(f'wrote table.md, summary.json and curves.png in {out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
