"""Findings of a dataset check for people: a summary for the terminal and a page with suspects side by side."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from uscl.checks.check import CheckResult
from uscl.checks.clip_facts import Clip, read_frame
from uscl.checks.duplicates import Duplicate, matching_frames
from uscl.checks.finding import ERROR, SEVERITIES, Finding
from uscl.core.escaping import for_terminal

from .figures import DARK, new_figure
from .html_page import write_page

MAX_PAIRS = 40  # suspected pairs whose frames are shown on the page
MAX_LINES = 20  # per kind, on the terminal
_FRAME_SIDE = 256  # largest side of a frame on the page, in pixels


def print_result(result: CheckResult, console: Console | None = None) -> None:
    """Print a table of the data folders, a table of the kinds of findings, and one line per finding."""
    console = console or Console(highlight=False, soft_wrap=True)
    table = Table('data', *(Column(name, justify='right') for name in ('clips', 'frames', 'patients', 'classes')))
    for name in dict.fromkeys(clip.data for clip in result.clips):
        table.add_row(escape(for_terminal(name)), *_counts([clip for clip in result.clips if clip.data == name]))
    console.print(table)
    if result.findings:
        table = Table('severity', 'kind', Column('findings', justify='right'))
        for (severity, kind), count in Counter((f.severity, f.kind) for f in result.findings).items():
            table.add_row(severity, kind, str(count))
        console.print(table)
    shown: Counter[tuple[str, str]] = Counter()
    for finding in result.findings:
        key = finding.severity, finding.kind
        shown[key] += 1
        if shown[key] <= MAX_LINES:
            console.print(for_terminal(f'{finding.severity}: {finding.message}'), markup=False)
    for (severity, kind), count in shown.items():
        if count > MAX_LINES:
            console.print(f'{severity}: {count - MAX_LINES} more of {kind}, see --json or --html.', markup=False)
    console.print(summary(result), markup=False)


def summary(result: CheckResult) -> str:
    """Counts by severity, as a sentence."""
    counts = ', '.join(f'{(n := result.count(name))} {name}{"" if n == 1 else "s"}' for name in SEVERITIES)
    return f'{counts}.' if result.findings else 'Nothing found.'


def as_dict(result: CheckResult) -> dict:
    """Plain values, for JSON: ``data`` (counts by folder), ``counts`` and ``findings``."""
    names = list(dict.fromkeys(clip.data for clip in result.clips))
    return {
        'kind': 'uscl_dataset_check',
        'data': {name: {'clips': sum(clip.data == name for clip in result.clips)} for name in names},
        'counts': {name: result.count(name) for name in SEVERITIES},
        'findings': [finding.as_dict() for finding in result.findings],
    }


def write_check_page(result: CheckResult, path: str | Path) -> None:
    """Write the page: findings, then suspected pairs with matching frames, then blank, still and short clips."""
    names = list(dict.fromkeys(clip.data for clip in result.clips))
    pairs = sorted(zip(result.duplicate_findings, result.duplicates, strict=True), key=lambda p: p[0].severity != ERROR)
    write_page(
        path,
        'check.html',
        title='Dataset check',
        subtitle=f'{len(result.clips)} clips of {", ".join(names)}',
        num_errors=result.count(ERROR),
        counts=[(f'{name}s', '', result.count(name), '') for name in SEVERITIES],
        findings=[(finding.severity, finding.kind, finding.message) for finding in result.findings],
        pairs=(_pair(finding, pair, result.clips) for finding, pair in pairs[:MAX_PAIRS]) if pairs else None,
        num_more=max(len(pairs) - MAX_PAIRS, 0),
        clips=_odd_clips(result),
    )


def pair_figure(first: Clip, second: Clip, mirrored: bool = False) -> Figure:
    """Matching frames of two clips: one row per clip, one column per time point."""
    moments = matching_frames(first, second, mirrored)
    figure = new_figure(2.4 * max(len(moments), 2), 4.6)
    for row, clip in enumerate((first, second)):
        for column, moment in enumerate(moments):
            axes = figure.add_subplot(2, max(len(moments), 2), row * max(len(moments), 2) + column + 1)
            axes.imshow(_shrink(read_frame(clip, moment[row])), cmap='gray', vmin=0, vmax=255)
            axes.set_axis_off()
            axes.set_title(f'{"AB"[row]}: frame {moment[row]} of {len(clip.digests)}', fontsize=8, color=DARK)
    return figure


def _pair(finding: Finding, pair: Duplicate, clips: Sequence[Clip]) -> dict[str, Any]:
    first, second = clips[pair.first], clips[pair.second]
    return {
        'title': f'{finding.severity}: {finding.kind}, similarity {pair.similarity:.2f}',
        'message': finding.message,
        'first': first,
        'second': second,
        'drawing': pair_figure(first, second, pair.kind == 'mirrored'),
    }


def _odd_clips(result: CheckResult) -> list[tuple[bytes, list[str]]]:
    """One frame from every clip that is blank, still or short."""
    of_name = {(clip.data, clip.video_id): clip for clip in result.clips}
    items = []
    for finding in [f for f in result.findings if f.kind in ('blank frames', 'still', 'few frames')][:MAX_PAIRS]:
        clip = of_name[finding.clips[0]]
        position = int(np.argmin(clip.contrast))
        jpeg = cv2.imencode('.jpg', _shrink(read_frame(clip, position)))[1].tobytes()
        items.append((jpeg, [clip.video_id, finding.kind, f'frame {position} of {len(clip.digests)}']))
    return items


def _shrink(frame: np.ndarray) -> np.ndarray:
    scale = min(1.0, _FRAME_SIDE / max(frame.shape))
    return cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else frame


def _counts(clips: Sequence[Clip]) -> tuple[str, str, str, str]:
    patients = len({clip.patient_id for clip in clips} - {None})
    classes = len({clip.label for clip in clips} - {None})
    return str(len(clips)), str(sum(len(c.digests) for c in clips)), str(patients or '-'), str(classes or '-')
