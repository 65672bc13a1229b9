"""Is there leakage between training and test? Checks folders written by a converter, also against each other.

python tools/analysis/check_dataset.py data/pretraining data/evaluation --html check.html

Finds videos and patients on both sides of a split or fold, clips that are copies of each other (equal, resized,
compressed, cropped, brightened, mirrored, trimmed), suspects that only a look can decide about, blank frames and
stills, and properties that give the class away.
Exit status: 0 no leak; 1 a leak, or a copy on another side or in other data (with --strict also for warnings); 2 could
not run.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from uscl.checks.finding import ERROR, WARNING
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options

if TYPE_CHECKING:
    from uscl.checks.clip_facts import Clip


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Options of the check.

    Attributes:
        data: Folder written by a converter.
        folds: Folds file, as written by tools/evaluate.py: OUT/folds/seed0.json.
        json: Write the findings to this file, for programs.
        html: Write a page to this file that shows copies and suspects side by side.
        strict: Also exit with 1 on warnings.
        threshold: Smallest similarity of a suspect; from 0.92 on, clips count as copies. Pairs below 0.85 on coarse
            frames are not compared closely.
    """

    data: Annotated[list[str], Arg('DIR', positional=True)]
    folds: Annotated[str | None, Arg('FILE')] = None
    json: Annotated[str | None, Arg('FILE')] = None
    html: Annotated[str | None, Arg('FILE')] = None
    strict: bool = False
    threshold: Annotated[float, Arg(above=0, at_most=1)] = 0.88


def with_progress(clips: Iterator['Clip'], total: int) -> Iterator['Clip']:
    """Show on stderr how many clips have been read."""
    from rich.console import Console
    from rich.progress import track

    return iter(track(clips, 'reading', total=total, console=Console(stderr=True), transient=True))


@as_command(status=2)
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(CheckOptions, argv, __doc__)
    # Here, so that --help need not wait for them.
    from uscl.checks.check import check_datasets
    from uscl.reports.check_report import as_dict, print_result, write_check_page

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
