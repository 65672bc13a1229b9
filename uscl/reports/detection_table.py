"""The runs of detectors as a table in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from uscl.core.tables import markdown

from .detection_runs import MEASURES


def detection_table(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """Two tables, of the last and of the best epoch, and what to keep in mind.

    Args:
        summary: See :func:`uscl.reports.detection_runs.summarise_runs`.
    """
    names = [name for name in MEASURES.values() if any(name in entry['last'] for entry in summary.values())]
    parts = [
        '# Detection on the test data',
        'Per cent: mean over runs (minimum to maximum), SD: standard deviation over runs. '
        + _caution({n for entry in summary.values() for n in entry['num_images']}),
        '## Last epoch',
        _table(summary, 'last', names),
        '## Best epoch on the test data (optimistic)',
        'Of every run and measure the epoch that is best on these test data. Nobody can choose so for new patients: it '
        'is here only to compare with publications that did, and is not to be reported as performance.',
        _table(summary, 'best', names),
    ]
    return '\n\n'.join([*parts[:4], *_notes(summary), *parts[4:]]) + '\n'


def _caution(numbers: set[int | None]) -> str:
    known = sorted(number for number in numbers if number is not None)
    if not known:
        return (
            'How many images were evaluated could not be found out (the annotation file of the runs has moved); with '
            'a few dozen or hundred, the spread of a single run is large: compare methods over several seeds and '
            'splits.'
        )
    images = str(known[0]) if len(known) == 1 else f'{known[0]} to {known[-1]}'
    return (
        f'With {images} test images the spread of a single run is large: a handful of images decides the differences, '
        f'so compare methods over several seeds and splits.'
    )


def _table(summary: Mapping[str, Mapping[str, Any]], when: str, names: Sequence[str]) -> str:
    epochs = 'Last epoch' if when == 'last' else 'Of epochs'
    rows = []
    for method, entry in summary.items():
        found = entry[when]
        shown = _range(entry['last_epochs'])
        cells = [_cell(found[name]) if name in found else '–' for name in names]
        rows.append([method, str(len(entry['runs'])), shown, *cells])
    return markdown(['Method', 'Runs', epochs, *names], rows)


def _cell(found: Mapping[str, Any]) -> str:
    values = [f'{100 * found[name]:.1f}' for name in ('mean', 'min', 'max')]
    if found['sd'] is None:
        return values[0]
    return f'{values[0]} ({values[1]} to {values[2]}), SD {100 * found["sd"]:.1f}'


def _range(epochs: Sequence[int]) -> str:
    return str(epochs[0]) if len(set(epochs)) == 1 else f'{min(epochs)} to {max(epochs)}'


def _notes(summary: Mapping[str, Mapping[str, Any]]) -> list[str]:
    notes = []
    single = [method for method, entry in summary.items() if len(entry['runs']) == 1]
    if single:
        notes.append(f'One run only, so no spread can be given: {", ".join(single)}.')
    if len({epoch for entry in summary.values() for epoch in entry['last_epochs']}) > 1:
        notes.append('Not all runs are equally long: some may be unfinished.')
    return notes
