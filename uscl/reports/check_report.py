"""Findings of a dataset check for people: a summary for the terminal and a page with pairs of clips side by side."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from uscl.checks.check import SUSPECTS, CheckResult
from uscl.checks.clip_facts import Clip, read_frame
from uscl.checks.duplicates import CERTAIN, Duplicate, matching_frames
from uscl.checks.finding import ERROR, SEVERITIES, Finding, grouped
from uscl.core.escaping import for_terminal

from .html_page import write_page

MAX_PAIRS = 40  # of copies, and of suspects, whose frames are shown on the page
MAX_LINES = 20  # of a group of equal findings, on the terminal
_FRAME_SIDE = 256  # largest side of a frame on the page, in pixels
_GAP = 6  # between two frames, in pixels


def print_result(result: CheckResult, console: Console | None = None) -> None:
    """Print a table of the data folders, a table of the kinds of findings, and the findings, equal ones together."""
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
    for group in grouped(result.findings):
        lines = [f'{group[0].severity}: {_what(group)}', *(f'  {finding.item}' for finding in group if len(group) > 1)]
        if len(lines) > MAX_LINES + 1:
            lines[MAX_LINES + 1 :] = [f'  … and {len(group) - MAX_LINES} more, see --json or --html']
        console.print(for_terminal('\n'.join(lines)), markup=False)
    console.print(summary(result), markup=False)


def _what(group: Sequence[Finding]) -> str:
    first = group[0]
    if len(group) == 1:
        return first.message
    return f'{first.data}: {len(group)} × {first.text}' if first.data else f'{len(group)} × {first.text}'


def summary(result: CheckResult) -> str:
    """Counts by severity, and what to do about suspects, as sentences."""
    counts = ', '.join(f'{(n := result.count(name))} {name}{"" if n == 1 else "s"}' for name in SEVERITIES)
    look = ' Look at the suspects on the page of --html: one recording, or two on one scanner?'
    is_unsure = any(finding.kind == SUSPECTS for finding in result.findings)
    return f'{counts}.{look * is_unsure}' if result.findings else 'Nothing found.'


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
    """Write the page: findings, then copies and suspects with matching frames, then blank, still and short clips."""
    names = list(dict.fromkeys(clip.data for clip in result.clips))
    pairs = sorted(zip(result.duplicate_findings, result.duplicates, strict=True), key=lambda p: p[0].severity != ERROR)
    copies, suspects = ([pair for pair in pairs if pair[1].is_certain is certain] for certain in (True, False))
    write_page(
        path,
        'check.html',
        title='Dataset check',
        subtitle=f'{len(result.clips)} clips of {", ".join(names)}',
        num_errors=result.count(ERROR),
        counts=[(f'{name}s', '', result.count(name), '') for name in SEVERITIES],
        groups=[
            (group[0].severity, group[0].kind, _what(group), [f.item for f in group] if len(group) > 1 else [])
            for group in grouped(f if len(names) > 1 else replace(f, data='') for f in result.findings)
        ],
        copies=[_pair(finding, pair, result.clips) for finding, pair in copies[:MAX_PAIRS]],
        suspects=[_pair(finding, pair, result.clips) for finding, pair in suspects[:MAX_PAIRS]],
        num_more=(max(len(copies) - MAX_PAIRS, 0), max(len(suspects) - MAX_PAIRS, 0)),
        certain=CERTAIN,
        clips=_odd_clips(result),
    )


def side_by_side(first: Clip, second: Clip, mirrored: bool = False) -> list[tuple[bytes, str]]:
    """Pictures of matching frames of two clips, a JPEG and a caption for each moment.

    Args:
        first: The clip on the left.
        second: The clip on the right.
        mirrored: Whether to show the second mirrored, so that it looks like the first.
    """
    pictures = []
    for left, right in matching_frames(first, second, mirrored):
        frames = [read_frame(first, left), read_frame(second, right)[:, :: -1 if mirrored else 1]]
        height = min(_FRAME_SIDE, *(frame.shape[0] for frame in frames))
        frames = [_resize(frame, height / frame.shape[0]) for frame in frames]
        both = cv2.hconcat([frames[0], np.full((height, _GAP), 255, np.uint8), frames[1]])
        numbers = [f'frame {k} of {len(clip.digests)}' for k, clip in ((left, first), (right, second))]
        pictures.append((_jpeg(both), f'{numbers[0]}; {numbers[1]}{", mirrored" * mirrored}'))
    return pictures


def _pair(finding: Finding, pair: Duplicate, clips: Sequence[Clip]) -> dict[str, Any]:
    first, second = clips[pair.first], clips[pair.second]
    return {
        'title': replace(finding, data='', subject=finding.severity).message,
        'names': [clip.name if finding.data else f'{clip.data}, {clip.name}' for clip in (first, second)],
        'pictures': side_by_side(first, second, pair.kind == 'mirrored'),
    }


def _odd_clips(result: CheckResult) -> list[tuple[bytes, list[str]]]:
    """One frame from every clip that is blank, still or short."""
    of_name = {(clip.data, clip.video_id): clip for clip in result.clips}
    items = []
    for finding in [f for f in result.findings if f.kind in ('blank frames', 'still', 'few frames')][:MAX_PAIRS]:
        clip = of_name[finding.clips[0]]
        position = int(np.argmin(clip.contrast))
        frame = read_frame(clip, position)
        small = _resize(frame, min(1.0, _FRAME_SIDE / max(frame.shape)))
        items.append((_jpeg(small), [clip.video_id, finding.kind, f'frame {position} of {len(clip.digests)}']))
    return items


def _resize(frame: np.ndarray, scale: float) -> np.ndarray:
    size = [max(1, round(scale * side)) for side in frame.shape[::-1]]
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _jpeg(frame: np.ndarray) -> bytes:
    return cv2.imencode('.jpg', frame)[1].tobytes()


def _counts(clips: Sequence[Clip]) -> tuple[str, str, str, str]:
    patients = len({clip.patient_id for clip in clips} - {None})
    classes = len({clip.label for clip in clips} - {None})
    return str(len(clips)), str(sum(len(c.digests) for c in clips)), str(patients or '-'), str(classes or '-')
