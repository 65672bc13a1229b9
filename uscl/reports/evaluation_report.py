"""One page that shows how well backbones classify: what was asked, measures, figures, and what they get wrong."""

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

from .backbone_table import add_backbone_health
from .evaluation_errors import VideoError, thumbnail, video_errors
from .evaluation_figures import confusion_matrices, forest_plot, roc_curves
from .html_report import HtmlReport

MAX_ERRORS = 40  # of each method
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
    """Write the page in one step.

    Args:
        path: The file.
        runs: Method → selection → seed → predictions of all test frames.
        classes: Names of the classes.
        summary: Of these runs, see :func:`uscl.stats.evaluation_summary.summarise`.
        facts: What was asked: ``command``, ``data``, ``protocol``, ``folds``, ``seeds``, ``warnings`` (list),
            ``settings``, ``versions``, ``device``, ``seconds``, ``leak`` (true, or a sentence, if videos or frames of
            one patient were on both sides); each may be absent, others are listed too.
        data_root: Folder that the frames are of.
        backbones: Method → what its backbone uses, as :meth:`BackboneHealth.as_dict` gives it.
    """
    page = HtmlReport(
        'How well do the backbones classify?', f'{describe_data(summary)}; cross-validated, every frame tested once'
    )
    if facts.get('leak'):
        page.warning(_leak(facts['leak']))
    _add_cards(page, summary)
    _add_asked(page, facts)
    _add_results(page, summary)
    _add_differences(page, summary)
    _add_optimism(page, summary)
    _add_classes(page, runs, classes, summary)
    _add_errors(page, runs, classes, summary['honest_selection'], Path(data_root))
    if backbones:
        page.heading('What the backbones use')
        add_backbone_health(page, backbones)
    _add_origin(page, facts)
    page.write(path)


def _leak(leak: bool | str) -> str:
    detail = f' {leak}' if isinstance(leak, str) else ''
    return (
        'These figures pretend: frames or videos of one patient were in training and in test, so the networks were '
        'asked about patients they had seen. They say nothing about new patients; do not report them as such.' + detail
    )


def _add_cards(page: HtmlReport, summary: Mapping) -> None:
    video, selection = summary['levels']['video'], summary['honest_selection']
    cards = []
    for method, by_selection in video['results'].items():
        if selection in by_selection:
            found = by_selection[selection]['metrics']['balanced_accuracy']
            value = f'{percent(found["mean"])} %' if found['mean'] is not None else '–'
            note = (
                f'95 % interval {percent(found["low"])} to {percent(found["high"])} %; chance '
                if found['low'] is not None
                else ''
            )
            note += f'{percent(video["chance"]["balanced_accuracy"])} %'
            cards.append((f'{method}: balanced accuracy on videos, chosen by {selection}', '', value, note))
    page.cards(cards)


def _add_asked(page: HtmlReport, facts: Mapping[str, Any]) -> None:
    page.heading('What was asked')
    if facts.get('command'):
        page.code(str(facts['command']))
    page.table([], [[name.capitalize(), _text(facts[name])] for name in _ASKED if name in facts])
    for warning in facts.get('warnings') or []:
        page.paragraph(f'Warning: {warning}')


def _add_results(page: HtmlReport, summary: Mapping) -> None:
    page.heading('Results')
    page.paragraph(
        'A cell has the mean over seeds, in brackets its 95 % interval, and SD, the standard deviation over seeds. '
        'A video’s probabilities are the mean of those of its frames. Balanced accuracy is the mean recall of the '
        'classes; AUROC is of one class against the rest, and ranks all folds together, though each has a network of '
        'its own.'
    )
    for level in ('video', 'frame'):
        page.subheading(level_title(summary, level))
        _table(page, result_table(summary, level))
        page.figure(
            forest_plot(summary, level),
            f'{level.capitalize()} level. Diamond: mean over seeds; bar: 95 % interval over patients; rings: single '
            f'seeds; dashed: always naming the most frequent class, “{summary["levels"][level]["majority"]}”.',
            f'Measures and intervals of every method at {level} level',
        )
    page.paragraph(_about_intervals(summary))


def _about_intervals(summary: Mapping) -> str:
    if summary['num_patients'] < 2:
        return 'There is no interval: all videos are of one patient, so nothing can be said about others.'
    text = (
        f'Intervals are percentiles of {summary["resamples"]:,} resamples of the {summary["num_patients"]} patients, '
        'since frames and videos of one patient are not independent. They say how far the measures would vary with '
        'other test patients, given these trained networks; they do not cover the choice of training patients.'
    )
    if summary['num_patients'] < 50:
        text += ' With so few patients percentile intervals tend to be too narrow: the true uncertainty is larger.'
    if summary['resamples_without_a_class']:
        share = percent(summary['resamples_without_a_class'])
        text += f' In {share} % of the resamples a class did not occur; it was left out of their means.'
    return text


def _add_differences(page: HtmlReport, summary: Mapping) -> None:
    if len(summary['methods']) < 2:
        return
    page.heading('Differences between methods')
    page.paragraph(
        'In percentage points, with 95 % intervals of paired resamples: both methods on the same patients. An interval '
        'that contains 0 is no evidence of a difference. Intervals are not corrected for the number of comparisons.'
    )
    for level in ('video', 'frame'):
        page.subheading(level_title(summary, level))
        _table(page, difference_table(summary, level))


def _add_optimism(page: HtmlReport, summary: Mapping) -> None:
    if OPTIMISTIC not in summary['selections']:
        return
    page.heading('What choosing on the test fold does')
    page.paragraph(
        f'“{OPTIMISTIC}” is optimistic: of every fold it takes the epoch (or setting) that is best on that test fold, '
        'which nobody can do for new patients. It is here only to compare with publications that did so.'
    )
    table = optimism_table(summary)
    if table[1]:
        page.paragraph(
            ' '.join(_optimism(entry, summary['honest_selection']) for entry in summary['levels']['video']['optimism'])
        )
        page.paragraph(f'{OPTIMISTIC} minus {summary["honest_selection"]}, in percentage points, as above:')
        _table(page, table)


def _optimism(entry: Mapping, honest: str) -> str:
    accuracy = entry['metrics']['accuracy']['mean']
    verb = 'exceeds' if accuracy > 0 else 'does not exceed'
    return (
        f'{entry["method"]}: its accuracy on videos {verb} that of {honest} here '
        f'({percent(accuracy, sign=True)} points).'
    )


def _add_classes(page: HtmlReport, runs: Runs, classes: Sequence[str], summary: Mapping) -> None:
    selection = summary['honest_selection']
    page.heading(f'Classes, chosen by {selection}')
    for level in ('video', 'frame'):
        page.subheading(level_title(summary, level))
        _table(page, class_table(summary, level))
        results = summary['levels'][level]['results']
        page.figure(
            confusion_matrices(
                {name: found[selection]['confusion'] for name, found in results.items() if selection in found}, classes
            ),
            f'Confusion at {level} level: share of the true class, and below it the count, all seeds added up, so that '
            f'each {level} counts once a seed.',
            f'Confusion matrices of every method at {level} level',
        )
    by_video: dict[str, list[Predictions]] = {
        name: [run.by_video() for run in found[selection].values()]
        for name, found in runs.items()
        if selection in found
    }
    page.figure(
        roc_curves(by_video, classes),
        'ROC curves at video level, one class against the rest. Strong: mean over seeds of the sensitivity at each '
        'false positive rate; thin: single seeds; AUROC: mean over seeds.',
        'ROC curves of every class and method',
    )


def _add_errors(page: HtmlReport, runs: Runs, classes: Sequence[str], selection: str, data_root: Path) -> None:
    for method, by_selection in runs.items():
        if selection not in by_selection:
            continue
        errors = video_errors(by_selection[selection])
        seeds = len(by_selection[selection])
        page.heading(f'Videos that {method} gets wrong, chosen by {selection}')
        text = (
            f'{len(errors)} videos are wrong for at least one of {seeds} seeds'
            if seeds > 1
            else f'{len(errors)} videos are wrong'
        )
        average = f', {sum(e.num_wrong for e in errors) / seeds:.1f} a seed on average' if seeds > 1 else ''
        page.paragraph(
            f'{text}{average}. Each has its middle frame and true class → predicted class. Probabilities are means '
            'over frames and seeds of what the networks give, which need not be calibrated; the most confident errors '
            'come first.'
        )
        if errors:
            folder = VideoFolder(data_root)
            page.gallery([(thumbnail(folder, e.path), _lines(e, classes)) for e in errors[:MAX_ERRORS]])
        if len(errors) > MAX_ERRORS:
            page.paragraph(f'{len(errors) - MAX_ERRORS} more, less confident, are not shown.')


def _table(page: HtmlReport, table: Table) -> None:
    """Numbers of an interval stay on one line."""
    header, rows = table
    fixed = [[cell.replace(' %', '\u00a0%').replace(' to ', '\u00a0to\u00a0') for cell in row] for row in rows]
    page.table(header, [[cell.replace('SD ', 'SD\u00a0') for cell in row] for row in fixed])


def _lines(error: VideoError, classes: Sequence[str]) -> list[str]:
    patient = [] if error.patient.startswith('video:') else [f'patient {error.patient}']
    return [
        f'{classes[error.true]} → {classes[error.predicted]}',
        f'predicted {percent(error.probability, 0)} %, true {percent(error.true_probability, 0)} %',
        f'wrong in {error.num_wrong} of {error.num_seeds} seeds',
        error.video,
        *patient,
    ]


def _add_origin(page: HtmlReport, facts: Mapping[str, Any]) -> None:
    page.heading('How this page was made')
    shown = {'command', 'warnings', 'leak', *_ASKED, *_ORIGIN}
    names = [name for name in _ORIGIN if name in facts] + [name for name in facts if name not in shown]
    page.table([], [[name.capitalize(), _text(facts[name])] for name in names])


def _text(value: Any) -> str:
    """Any fact on one line."""
    if isinstance(value, Mapping):
        return ', '.join(f'{name} {_text(item)}' for name, item in value.items())
    if isinstance(value, list | tuple):
        return ', '.join(_text(item) for item in value)
    return f'{value:.6g}' if isinstance(value, float) else str(value)
