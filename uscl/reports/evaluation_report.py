"""A page that shows how well backbones classify: setup, metrics, figures, and misclassified videos."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uscl.data.video_folder import VideoFolder
from uscl.stats.evaluation_summary import Runs
from uscl.stats.predictions import Predictions
from uscl.stats.summary_tables import (
    OPTIMISTIC,
    Table,
    class_table,
    describe_data,
    difference_table,
    level_title,
    optimism_table,
    percent,
    result_table,
)

from .backbone_table import backbone_table
from .evaluation_errors import VideoError, thumbnail, video_errors
from .evaluation_figures import confusion_matrices, forest_plot, roc_curves
from .html_page import fact, unbroken, write_page

MAX_ERRORS = 40  # per method
_ASKED = ('data', 'protocol', 'folds', 'seeds', 'trained on')
_ORIGIN = ('settings', 'versions', 'device', 'seconds')


def write_evaluation_report(
    path: str | Path,
    runs: Runs,
    classes: Sequence[str],
    summary: Mapping,
    facts: Mapping[str, Any],
    data_root: str | Path,
    backbones: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write the page atomically.

    Args:
        path: The file.
        runs: Method → selection → seed → predictions of all test frames.
        classes: Names of the classes.
        summary: Summary of these runs, see :func:`uscl.stats.evaluation_summary.summarise`.
        facts: The setup: ``command``, ``data``, ``protocol``, ``folds``, ``seeds``, ``warnings`` (list), ``settings``,
            ``versions``, ``device``, ``seconds``, ``leak`` (true, or a sentence, if videos or frames of one patient
            were on both sides), ``suspicions`` (list: how they may be), ``unknown`` (list: backbones of which not all
            training data are known). Each is optional, and other keys are listed too.
        data_root: Data folder of the frames.
        backbones: Method → what its backbone uses, as given by :meth:`BackboneHealth.as_dict`.
    """
    selection = summary['honest_selection']
    write_page(
        path,
        'evaluation.html',
        title='How well do the backbones classify?',
        subtitle=f'{describe_data(summary)}; every frame tested once',
        facts={'leak': '', 'command': '', 'warnings': [], 'suspicions': [], 'unknown': []} | dict(facts),
        summary=summary,
        cards_of_methods=_cards(summary),
        asked=[[name.capitalize(), fact(facts[name])] for name in _ASKED if name in facts],
        levels=[_level(summary, level, classes) for level in ('video', 'frame')],
        optimism=_optimism(summary),
        roc=roc_curves(
            {
                method: [run.by_video() for run in found[selection].values()]
                for method, found in runs.items()
                if selection in found
            },
            classes,
        ),
        errors=[
            _errors(method, found[selection], classes, Path(data_root))
            for method, found in runs.items()
            if selection in found
        ],
        health=backbone_table(backbones) if backbones else None,
        origin=_origin(facts),
    )


def _cards(summary: Mapping) -> list[tuple[str, str, str, str]]:
    video, selection = summary['levels']['video'], summary['honest_selection']
    cards = []
    for method, by_selection in video['results'].items():
        if selection in by_selection:
            found = by_selection[selection]['metrics']['balanced_accuracy']
            value = f'{percent(found["mean"])} %' if found['mean'] is not None else '–'
            low, high = percent(found['low']), percent(found['high'])
            note = f'95 % interval {low} to {high} %; chance ' if found['low'] is not None else ''
            note += f'{percent(video["chance"]["balanced_accuracy"])} %'
            cards.append((f'{method}: balanced accuracy on videos, chosen by {selection}', '', value, note))
    return cards


def _level(summary: Mapping, level: str, classes: Sequence[str]) -> dict[str, Any]:
    found, selection = summary['levels'][level], summary['honest_selection']
    confusion = {
        method: results[selection]['confusion'] for method, results in found['results'].items() if selection in results
    }
    return {
        'name': level,
        'title': level_title(summary, level),
        'majority': found['majority'],
        'results': _unbroken(result_table(summary, level)),
        'differences': _unbroken(difference_table(summary, level)) if len(summary['methods']) > 1 else None,
        'classes': _unbroken(class_table(summary, level)),
        'forest': forest_plot(summary, level),
        'confusion': confusion_matrices(confusion, classes),
    }


def _optimism(summary: Mapping) -> dict[str, Any] | None:
    if OPTIMISTIC not in summary['selections']:
        return None
    gains = [
        (entry['method'], entry['metrics']['accuracy']['mean']) for entry in summary['levels']['video']['optimism']
    ]
    return {
        'name': OPTIMISTIC,
        'table': _unbroken(optimism_table(summary)),
        'methods': [(method, percent(gain, sign=True), gain > 0) for method, gain in gains],
    }


def _errors(method: str, runs: Mapping[int, Predictions], classes: Sequence[str], data_root: Path) -> dict[str, Any]:
    errors = video_errors(runs)
    folder = VideoFolder(data_root) if errors else None
    return {
        'name': method,
        'seeds': len(runs),
        'total': len(errors),
        'average': sum(error.num_wrong for error in errors) / len(runs),
        'shown': [(thumbnail(folder, e.path), _lines(e, classes)) for e in errors[:MAX_ERRORS]] if folder else [],
    }


def _unbroken(table: Table) -> Table:
    header, rows = table
    return header, [[unbroken(cell) for cell in row] for row in rows]


def _lines(error: VideoError, classes: Sequence[str]) -> list[str]:
    patient = [] if error.patient.startswith('video:') else [f'patient {error.patient}']
    return [
        f'{classes[error.true]} → {classes[error.predicted]}',
        f'predicted {percent(error.probability, 0)} %, true {percent(error.true_probability, 0)} %',
        f'wrong in {error.num_wrong} of {error.num_seeds} seeds',
        error.video,
        *patient,
    ]


def _origin(facts: Mapping[str, Any]) -> list[list[str]]:
    shown = {'command', 'warnings', 'leak', 'suspicions', 'unknown', *_ASKED, *_ORIGIN}
    names = [name for name in _ORIGIN if name in facts] + [name for name in facts if name not in shown]
    return [[name.capitalize(), fact(facts[name])] for name in names]
