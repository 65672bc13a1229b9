"""Is there a leak between training and test? Checks folders that a converter wrote, and each against the others.

python tools/analysis/check_dataset.py data/pretraining data/evaluation --html check.html

Finds videos and patients on both sides of a split or fold, clips that are copies of each other (equal, resized,
compressed, cropped, brightened, mirrored, trimmed), blank frames and stills, and properties that give the class away.
Exit status: 0 no leak; 1 a leak or a copy on other sides or in other data (with --strict any warning, too); 2 could not
run.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from uscl.checks.check import check_datasets
from uscl.checks.clip_facts import Clip
from uscl.checks.duplicates import COARSE_THRESHOLD, THRESHOLD
from uscl.checks.finding import ERROR, WARNING
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.reports.check_report import as_dict, print_result, write_check_page


def similarity(text: str) -> float:
    """Argument type: what two clips may be compared at."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f'{text} should be above 0 and 1 at most')
    return value


def with_progress(clips: Iterator[Clip], total: int) -> Iterator[Clip]:
    """Show how many clips are read, on stderr."""
    return iter(track(clips, 'reading', total=total, console=Console(stderr=True), transient=True))


@as_command(status=2)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', nargs='+', metavar='DIR', help='folder that a converter wrote')
    parser.add_argument('--folds', metavar='FILE', help='as tools/evaluate.py writes it: OUT/folds/seed0.json')
    parser.add_argument('--json', metavar='FILE', help='write the findings here, for programs')
    parser.add_argument('--html', metavar='FILE', help='write a page here that shows the suspects side by side')
    parser.add_argument('--strict', action='store_true', help='exit with 1 on warnings, too')
    parser.add_argument(
        '--threshold',
        type=similarity,
        default=THRESHOLD,
        help=f'least similarity of a near-equal clip (default: {THRESHOLD}; what is below {COARSE_THRESHOLD} on coarse '
        f'frames is not looked at closely)',
    )
    args = parser.parse_args(argv)
    result = check_datasets(args.data, args.folds, args.threshold, with_progress)
    if args.json:
        write_text(Path(args.json), json.dumps(as_dict(result), indent=1, ensure_ascii=False) + '\n')
    if args.html:
        write_check_page(result, args.html)
    print_result(result)
    for path in filter(None, (args.json, args.html)):
        print(f'wrote {path}')
    return int(bool(result.count(ERROR) or (args.strict and result.count(WARNING))))


if __name__ == '__main__':
    sys.exit(main())
