"""Show the clips of a data folder on one page: counts, facts about the clips, and a picture of each.

With --classes, the pictures move, each clip has a button for every class, and "Save as CSV" writes an index with which
`uscl convert CLIPS --index labels.csv --out DATA` takes over the classes and decodes nothing again. The page works
without a network.
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
        classes: Classes to choose from, besides those that the clips have.
        out: Page to write (default: DATA/overview.html).
    """

    data: Annotated[str, Arg('DATA', positional=True)]
    classes: Annotated[list[str] | None, Arg('NAME')] = None
    out: Annotated[str | None, Arg('PAGE.html')] = None


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(BrowseOptions, argv, __doc__)
    # Here, so that --help need not wait for it.
    from uscl.data.annotations import read_annotations
    from uscl.reports.overview_page import folder_cards, write_overview

    out = Path(options.out or Path(options.data).expanduser() / 'overview.html')
    cards = folder_cards(options.data, moving=options.classes is not None)
    classes = dict.fromkeys(options.classes or ())
    if classes:
        settings = read_annotations(Path(options.data).expanduser() / 'annotations.json')['metainfo']['settings'] or {}
        if settings.get('names_hashed') or settings.get('patients_hashed'):
            raise ValueError(f'{options.data} has hashed ids, which an index cannot use: label first, then hash.')
        classes |= dict.fromkeys(sorted({card.label for card in cards if card.label is not None}))
    write_overview(out, cards, f'Clips of {Path(options.data).resolve().name}', classes=list(classes))
    print(f'{out}: {len(cards)} clips. It contains patient images: treat it like the data.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
