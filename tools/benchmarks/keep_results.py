"""Keep the out-of-fold predictions of a comparison or an evaluation in one small file, for docs/results/data.

    python tools/benchmarks/keep_results.py work_dirs/A --into docs/results/data/pocus.json --title "…"

Runs that the file has already are replaced; others stay.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from instruments.stored_results import StoredResults, start_results
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.data.annotations import read_annotations
from uscl.data.selection import select_split
from uscl.stats.evaluation_summary import honest_selection
from uscl.stats.predictions import Predictions, concatenate


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        out: Output folder of tools/compare.py or tools/evaluate.py.
        into: File to create or to complete.
        title: What was trained and tested (default: that of the file).
        ordered: The order of the classes has a meaning.
        methods: Methods to keep (default: all).
        seeds: Keep only seeds below N.
        selection: Which of the predictions: inner-val, fixed or last (default: the first of these that there is).
        held_out_of: Data folder whose split `val` is left out, such as the patients by whom settings were chosen.
        only_finished: Leave out runs with unfinished folds instead of stopping.
    """

    out: Annotated[str, Arg('DIR', positional=True)]
    into: Annotated[str, Arg('FILE')]
    title: str | None = None
    ordered: bool = False
    methods: list[str] | None = None
    seeds: Annotated[int | None, Arg('N', at_least=1)] = None
    selection: Annotated[str | None, Arg(choices=('inner-val', 'fixed', 'last'))] = None
    held_out_of: Annotated[str | None, Arg('DIR')] = None
    only_finished: bool = False


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    out, into = Path(options.out), Path(options.into)
    evaluation = out / 'evaluation' if (out / 'evaluation').is_dir() else out
    facts = _facts(out)
    kept = 0
    left_out = set() if options.held_out_of is None else videos_of_split(options.held_out_of, 'val')
    results = StoredResults.load(into) if into.is_file() else None
    for folder in sorted((evaluation / 'cells').glob('*/seed*')):
        method, seed = folder.parent.name, int(folder.name.removeprefix('seed'))
        if (options.methods and method not in options.methods) or (options.seeds and seed >= options.seeds):
            continue
        folds = len(json.loads((evaluation / 'folds' / f'seed{seed}.json').read_text(encoding='utf-8'))['folds'])
        cells = [folder / f'fold{k}' for k in range(folds)]
        if missing := [cell for cell in cells if not (cell / 'cell.json').is_file()]:
            if options.only_finished:
                continue
            raise ValueError(f'{missing[0]} is not finished: run the evaluation again, or pass --only-finished.')
        selection, predictions = read_cells(cells, options.selection)
        predictions = without_videos(predictions, left_out)
        if results is None:
            if options.title is None:
                raise ValueError(f'{into} is new: pass --title.')
            results = start_results(
                options.title, f'{_protocol(cells[0])}, {selection}', _classes(out), options.ordered, predictions
            )
        results.add(method, seed, predictions, {'selection': selection, **facts.get(method, {})})
        kept += 1
    if results is None:
        raise ValueError(f'{out} has no finished run: pass the output folder of tools/compare.py or tools/evaluate.py.')
    if (command := _command(out)) and command not in results.commands:
        results.commands.append(command)
    results.save(into)
    print(f'{kept} runs kept in {into}')
    return 0


def read_cells(cells: list[Path], wanted: str | None = None) -> tuple[str, Predictions]:
    """The wanted or the honest selection of finished folds, and its predictions for all of them."""
    known = json.loads((cells[0] / 'cell.json').read_text(encoding='utf-8'))['selections']
    if wanted is not None and wanted not in known:
        raise ValueError(f'{cells[0]} has no predictions {wanted}: pass --selection with one of {", ".join(known)}.')
    selection = wanted or honest_selection(known)
    return selection, concatenate([Predictions.load(cell / f'{selection}.npz') for cell in cells])


def videos_of_split(data: str, split: str) -> set[str]:
    """Ids of the videos of one split of a data folder."""
    path = Path(data) / 'annotations.json'
    return {entry['video_id'] for entry in select_split(read_annotations(path)['data_list'], split, path)}


def without_videos(predictions: Predictions, left_out: set[str]) -> Predictions:
    """The rows of all other videos."""
    kept = ~np.isin(predictions.videos, list(left_out))
    return Predictions(**{name: values[kept] for name, values in vars(predictions).items()})


def _results(out: Path) -> dict[str, Any]:
    found = next((out / name for name in ('results.json', 'metrics.json') if (out / name).is_file()), None)
    return {} if found is None else json.loads(found.read_text(encoding='utf-8'))


def _classes(out: Path) -> list[str]:
    return list((_results(out).get('summary') or _results(out))['classes'])


def _command(out: Path) -> str:
    return str((_results(out).get('facts') or {}).get('command', ''))


def _protocol(cell: Path) -> str:
    return str(json.loads((cell / 'cell.json').read_text(encoding='utf-8'))['fingerprint']['protocol'])


def _facts(out: Path) -> dict[str, dict[str, Any]]:
    """Method → steps and views, from the rows of a comparison."""
    rows = [row for row in _results(out).get('rows', []) if row.get('steps') is not None]
    return {row['method']: {key: row[key] for key in ('epochs', 'steps', 'views')} for row in rows}


if __name__ == '__main__':
    sys.exit(main())
