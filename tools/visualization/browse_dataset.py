"""Show the clips of a data folder on one page: counts, facts about the clips, and a picture of each.

python tools/visualization/browse_dataset.py data/mine
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options


@dataclass(frozen=True, kw_only=True)
class BrowseOptions:
    """Options of the page.

    Attributes:
        data: Folder written by a converter.
        out: Page to write (default: DATA/overview.html).
    """

    data: Annotated[str, Arg('DATA', positional=True)]
    out: Annotated[str | None, Arg('PAGE.html')] = None


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(BrowseOptions, argv, __doc__)
    # Here, so that --help need not wait for it.
    from uscl.reports.overview_page import folder_cards, write_overview

    out = Path(options.out or Path(options.data).expanduser() / 'overview.html')
    cards = folder_cards(options.data)
    write_overview(out, cards, f'Clips of {Path(options.data).resolve().name}')
    print(f'{out}: {len(cards)} clips. It contains patient images: treat it like the data.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
