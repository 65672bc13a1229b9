"""Detector runs as a Markdown table."""

from collections.abc import Mapping, Sequence
from typing import Any

from uscl.core.escaping import for_markdown
from uscl.core.tables import markdown

from .detection_runs import MEASURES


def detection_table(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """Two tables, for the last and the best epoch, with cautions.

    Args:
        summary: See :func:`uscl.reports.detection_runs.summarise_runs`.
    """
    names = [name for name in MEASURES.values() if any(name in entry['last'] for entry in summary.values())]
    parts = [
        '# Detection on the test data',
        'In percent: mean over runs (minimum to maximum), SD: standard deviation over runs. '
        + _caution({n for entry in summary.values() for n in entry['num_images']}),
        '## Last epoch',
        _table(summary, 'last', names),
        '## Best epoch on the test data (optimistic)',
        'For each run and measure, the epoch that is best on these test data. For new patients nobody can choose it: '
        'use it only to compare with publications that did the same, and do not report it as performance.',
        _table(summary, 'best', names),
    ]
    return '\n\n'.join([*parts[:4], *_notes(summary), *parts[4:]]) + '\n'


def _caution(numbers: set[int | None]) -> str:
    known = sorted(number for number in numbers if number is not None)
    if not known:
        return (
            'The number of evaluated images is unknown (the annotation file of the runs has moved). With '
            'a few dozen or hundred images, single runs vary widely: compare methods over several seeds and '
            'splits.'
        )
    images = str(known[0]) if len(known) == 1 else f'{known[0]} to {known[-1]}'
    return (
        f'With {images} test images single runs vary widely, because a handful of images decides the differences: '
        f'compare methods over several seeds and splits.'
    )


def _table(summary: Mapping[str, Mapping[str, Any]], when: str, names: Sequence[str]) -> str:
    epochs = 'Last epoch' if when == 'last' else 'Epochs'
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
        notes.append(f'Only one run, so no spread is given: {for_markdown(", ".join(single))}.')
    if len({epoch for entry in summary.values() for epoch in entry['last_epochs']}) > 1:
        notes.append('The runs differ in length: some may be unfinished.')
    return notes
