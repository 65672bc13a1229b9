"""Table cells that show a summary, for Markdown and for the report; see :mod:`.evaluation_summary`."""

from collections.abc import Mapping

from .classification import CLASS_METRICS, METRICS

METRIC_NAMES = {
    'accuracy': 'Accuracy',
    'balanced_accuracy': 'Balanced accuracy',
    'macro_f1': 'Macro F1',
    'macro_auroc': 'Macro AUROC',
    'precision': 'Precision',
    'recall': 'Sensitivity',
    'specificity': 'Specificity',
    'f1': 'F1',
    'auroc': 'AUROC',
}

OPTIMISTIC = 'best-on-test'  # the selection that looks at the test folds

Table = tuple[list[str], list[list[str]]]


def percent(share: float | None, digits: int = 1, sign: bool = False) -> str:
    """Format a fraction as a percentage without the percent sign; None is a dash.

    >>> percent(0.98077), percent(0.05, sign=True), percent(-0.1, sign=True), percent(None)
    ('98.1', '+5.0', '−10.0', '–')
    """
    if share is None:
        return '–'
    text = f'{100 * share:{"+" if sign else ""}.{digits}f}'
    if float(text) == 0:  # no sign where the rounded number has none
        text = text.lstrip('+-')
    return text.replace('-', '−')


def estimate(found: Mapping, unit: str = ' %', sign: bool = False) -> str:
    """Mean, interval and, if known, the standard deviation over seeds, as text.

    >>> estimate({'mean': 0.75, 'low': 0.5, 'high': 0.875, 'std': 0.01})
    '75.0 % (50.0 to 87.5), SD 1.0'
    """
    text = percent(found['mean'], sign=sign)
    if found['mean'] is None:
        return text
    text += unit
    if found['low'] is not None:
        text += f' ({percent(found["low"], sign=sign)} to {percent(found["high"], sign=sign)})'
    if found.get('std') is not None:
        text += f', SD {percent(found["std"])}'
    return text


def result_table(summary: Mapping, level: str) -> Table:
    """One row per method and selection, plus one for chance."""
    found = summary['levels'][level]
    header = ['Method', 'Chosen by', *(METRIC_NAMES[name] for name in METRICS)]
    rows = [
        [method, selection_title(selection), *(estimate(result['metrics'][name]) for name in METRICS)]
        for method, by_selection in found['results'].items()
        for selection, result in by_selection.items()
    ]
    chance = [f'{percent(found["chance"][name])} %' if found['chance'][name] is not None else '–' for name in METRICS]
    return header, [*rows, [f'Chance: always “{found["majority"]}”', '', *chance]]


def class_table(summary: Mapping, level: str) -> Table:
    """One row per class and method, for the honest selection."""
    found, selection = summary['levels'][level], summary['honest_selection']
    header = ['Class', f'{level.capitalize()}s', 'Method', *(METRIC_NAMES[name] for name in CLASS_METRICS)]
    rows = [
        [
            label,
            str(found['support'][label]),
            method,
            *(estimate(by_selection[selection]['classes'][label][name]) for name in CLASS_METRICS),
        ]
        for label in summary['classes']
        for method, by_selection in found['results'].items()
        if selection in by_selection
    ]
    return header, rows


def difference_table(summary: Mapping, level: str) -> Table:
    """One row per pair of methods and selection."""
    header = ['Difference', 'Chosen by', *(METRIC_NAMES[name] for name in METRICS)]
    rows = [
        [f'{pair["second"]} − {pair["first"]}', selection_title(pair['selection']), *differences(pair['metrics'])]
        for pair in summary['levels'][level]['differences']
    ]
    return header, rows


def optimism_table(summary: Mapping) -> Table:
    """One row per method and level: by how much ``best-on-test`` exceeds the honest selection."""
    header = ['Method', 'Level', *(METRIC_NAMES[name] for name in METRICS)]
    rows = [
        [entry['method'], level, *differences(entry['metrics'])]
        for level in ('video', 'frame')
        for entry in summary['levels'][level]['optimism']
    ]
    return header, rows


def minus(summary: Mapping, level: str, selection: str, one: str, other: str) -> dict[str, dict[str, float | None]]:
    """How one method differs from another: metric → ``mean``, ``low`` and ``high`` of the first minus the second.

    Raises:
        KeyError: They were not compared with that selection.
    """
    for pair in summary['levels'][level]['differences']:
        if pair['selection'] == selection and {pair['first'], pair['second']} == {one, other}:
            is_turned = pair['second'] != one
            return {name: _negative(found) if is_turned else found for name, found in pair['metrics'].items()}
    raise KeyError(f'{one} and {other} were not compared')


def _negative(found: Mapping[str, float | None]) -> dict[str, float | None]:
    turned = {'mean': found['mean'], 'low': found['high'], 'high': found['low']}
    return {key: None if value is None else -value for key, value in turned.items()}


def differences(metrics: Mapping) -> list[str]:
    """Cells with differences in percentage points."""
    return [estimate(metrics[name], unit='', sign=True) for name in METRICS]


def selection_title(selection: str) -> str:
    """Name of a selection, with a warning where needed."""
    return f'{selection} (optimistic)' if selection == OPTIMISTIC else selection


def level_title(summary: Mapping, level: str) -> str:
    """Heading of a level, such as "Video level (47 videos)"."""
    return f'{level.capitalize()} level ({summary["levels"][level]["num"]} {level}s)'


def describe_data(summary: Mapping) -> str:
    """The size of the data, as text."""
    levels = summary['levels']
    classes = ', '.join(f'{name} {number}' for name, number in levels['video']['support'].items())
    unknown = summary['num_unknown_patients']
    note = f' ({unknown} of them are videos of unknown patients, each counted as one patient)' if unknown else ''
    return (
        f'{levels["frame"]["num"]:,} frames of {levels["video"]["num"]} videos ({classes}) of '
        f'{summary["num_patients"]} patients{note}'
    )
