"""Compare runs of detectors: a table, its numbers, and curves.

python tools/analysis/summarise_detection.py uscl=work_dirs/uscl_0 uscl=work_dirs/uscl_1 scratch=work_dirs/scratch_0 \
    --out work_dirs/detection
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.fileio import dump

from uscl.core.atomic_files import write_atomically, write_text
from uscl.core.command_line import as_command
from uscl.reports.detection_curves import training_curves
from uscl.reports.detection_runs import DetectionRun, read_run, summarise_runs
from uscl.reports.detection_table import detection_table
from uscl.reports.figures import save_picture


def named_run(text: str) -> tuple[str, str]:
    """Argument type: NAME=WORK_DIR."""
    name, _, work_dir = text.partition('=')
    if not name or not work_dir:
        raise argparse.ArgumentTypeError(f'{text} should be NAME=WORK_DIR')
    return name, work_dir


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'runs',
        type=named_run,
        nargs='+',
        metavar='NAME=WORK_DIR',
        help='--work-dir of a run of tools/train.py; runs of one NAME are seeds or splits of one method',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='writes table.md, summary.json, curves.png here')
    args = parser.parse_args(argv)
    out = Path(args.out)
    folders = [Path(work_dir).resolve() for _, work_dir in args.runs]
    if twice := next((folder for folder in folders if folders.count(folder) > 1), None):
        raise ValueError(f'{twice} is given twice: a run counts once.')
    methods: dict[str, list[DetectionRun]] = {}
    for name, work_dir in args.runs:
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
