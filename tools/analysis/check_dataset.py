"""Is there a leak between training and test? Checks folders that a converter wrote, and each against the others.

python tools/analysis/check_dataset.py data/pretraining data/evaluation --html check.html

Finds videos and patients on both sides of a split or fold, clips that are copies of each other (equal, resized,
compressed, cropped, brightened, mirrored, trimmed), blank frames and stills, and properties that give the class away.
Exit status: 0 no leak; 1 a leak or a copy on other sides or in other data (with --strict any warning, too); 2 could not
run.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.progress import track

from uscl.checks.check import check_datasets
from uscl.checks.clip_facts import Clip
from uscl.checks.duplicates import THRESHOLD
from uscl.checks.finding import ERROR, WARNING
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.reports.check_report import as_dict, print_result, write_check_page


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What is checked, and where the findings go.

    Attributes:
        data: Folder that a converter wrote.
        folds: As tools/evaluate.py writes it: OUT/folds/seed0.json.
        json: Write the findings here, for programs.
        html: Write a page here that shows the suspects side by side.
        strict: Exit with 1 on warnings, too.
        threshold: Least similarity of a near-equal clip; what is below 0.85 on coarse frames is not looked at closely.
    """

    data: Annotated[list[str], Arg('DIR', positional=True)]
    folds: Annotated[str | None, Arg('FILE')] = None
    json: Annotated[str | None, Arg('FILE')] = None
    html: Annotated[str | None, Arg('FILE')] = None
    strict: bool = False
    threshold: Annotated[float, Arg(above=0, at_most=1)] = THRESHOLD


def with_progress(clips: Iterator[Clip], total: int) -> Iterator[Clip]:
    """Show how many clips are read, on stderr."""
    return iter(track(clips, 'reading', total=total, console=Console(stderr=True), transient=True))


@as_command(status=2)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(CheckOptions, argv, __doc__)
    result = check_datasets(options.data, options.folds, options.threshold, with_progress)
    if options.json:
        write_text(Path(options.json), json.dumps(as_dict(result), indent=1, ensure_ascii=False) + '\n')
    if options.html:
        write_check_page(result, options.html)
    print_result(result)
    for path in filter(None, (options.json, options.html)):
        print(f'wrote {path}')
    return int(bool(result.count(ERROR) or (options.strict and result.count(WARNING))))


if __name__ == '__main__':
    sys.exit(main())
