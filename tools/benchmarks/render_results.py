"""Fill the tables of docs/results from the predictions in docs/results/data, without training: `make results`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from instruments.results_page import render_page
from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        pages: Folder of the pages.
        check: Only say which pages are out of date, with exit status 1.
    """

    pages: Annotated[str, Arg('DIR')] = 'docs/results'
    check: bool = False


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    stale = 0
    for path in sorted(Path(options.pages).glob('*.md')):
        page = path.read_text(encoding='utf-8')
        made = render_page(page, path.parent / 'data')
        if made != page:
            stale += 1
            print(f'{path}: {"out of date" if options.check else "written"}')
            if not options.check:
                write_text(path, made)
    return int(options.check and stale > 0)


if __name__ == '__main__':
    sys.exit(main())
