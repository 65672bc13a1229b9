"""Predictions for clips as a table for a terminal, and as rows for a CSV file."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from uscl.core.escaping import for_terminal

FAR = 'far from the training data'

Row = Mapping[str, Any]  # of FrameClassifier.predict, or of LesionDetector.predict_clip: then with 'detections'


def prediction_table(rows: Sequence[Row]) -> Table:
    """A line per clip.

    Args:
        rows: Predictions of one model, at least one.
    """
    if 'detections' in rows[0]:
        table = Table('clip', 'frames', 'with findings', 'findings', 'highest score')
        for row in rows:
            found = row['detections']
            frames = {each['frame'] for each in found}
            best = max(found, key=lambda each: each['score'], default=None)
            highest = 'none' if best is None else f'{best["class"]} {best["score"]:.2f} in frame {best["frame"]}'
            _add(table, row['clip'], row['frames'], len(frames), len(found), highest)
        return table
    table = Table('clip')
    for name in (*rows[0]['probabilities'], 'predicted', 'frames', 'agreeing', 'distance', ''):
        table.add_column(Text(for_terminal(name)))
    for row in rows:
        shares = (f'{value:.3f}' for value in row['probabilities'].values())
        distance = '–' if row['distance'] is None else f'{row["distance"]:.3f}'
        predicted = f'{row["predicted"]}{"?" if row["unusual"] else ""}'
        far = FAR if row['unusual'] else ''
        _add(table, row['clip'], *shares, predicted, row['frames'], f'{row["agreement"]:.0%}', distance, far)
    return table


def prediction_csv(rows: Sequence[Row]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows for a CSV file.

    Classifiers give a row per clip. Detectors give a row per finding, and one without a class for a clip without
    findings; x, y, width and height are of the box in pixels, and outlines are left to JSON.

    Args:
        rows: Predictions of one model, at least one.
    """
    if 'detections' in rows[0]:
        header = ['clip', 'frames', 'frame', 'time', 'class', 'score', 'x', 'y', 'width', 'height']
        lines = []
        for row in rows:
            shared = [row['clip'], row['frames']]
            for each in row['detections']:
                cells = (each['frame'], _cell(each['time']), each['class'], each['score'], *each['box'])
                lines.append([*shared, *cells])
            if not row['detections']:
                lines.append(shared + [''] * 8)
        return header, lines
    classes = list(rows[0]['probabilities'])
    header = ['clip', 'predicted', *classes, 'frames', 'agreement', 'distance', 'unusual']
    names = ('frames', 'agreement', 'distance', 'unusual')
    return header, [
        [
            row['clip'],
            row['predicted'],
            *row['probabilities'].values(),
            *(_cell(row[name]) for name in names),
        ]
        for row in rows
    ]


def _add(table: Table, *cells: Any) -> None:
    table.add_row(*(Text(for_terminal(str(cell))) for cell in cells))  # Text, for rich takes [names] for styles


def _cell(value: Any) -> Any:
    return '' if value is None else str(value).lower() if isinstance(value, bool) else value
