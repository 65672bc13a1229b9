"""Measurements as plain values for JSON and as a table."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from .spread import Spread
from .throughput import FIGURES, Throughput, ratios


def machine_facts(device: torch.device) -> dict[str, Any]:
    """What the figures depend on besides the workloads."""
    is_cuda = device.type == 'cuda'
    return {
        'device': torch.cuda.get_device_name(device) if is_cuda else 'cpu',
        'torch': torch.__version__,
        'threads': torch.get_num_threads(),
        'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        'machine': platform.machine(),
    }


def to_plain(found: Mapping[str, Throughput], baseline: str | None) -> dict[str, Any]:
    """All measurements as dicts, lists and numbers.

    Args:
        found: Measurements by workload name.
        baseline: Workload to compare the others with; None for no comparison.

    Returns:
        ``figures`` by name and key of :data:`.throughput.FIGURES`, with ``videos_per_second``, ``views_per_second`` and
        ``seconds`` (each with median, min, max and values) and ``batches``; ``ratios`` by name, ``ratio_KEY`` → spread
        of the paired ratios of videos per second, above 1 if the workload is faster than the baseline.
    """
    figures: dict[str, Any] = {}
    for name, result in found.items():
        figures[name] = {key: _plain_figure(result, key) for key in FIGURES if result.videos_per_second[key]}
        figures[name]['end_to_end']['waiting_share'] = asdict(Spread.of(result.waiting_share))
        figures[name]['efficiency'] = asdict(result.efficiency)
        figures[name]['views_per_video'] = result.views
        figures[name]['peak_memory_bytes'] = result.peak_memory
    compared = {
        name: {f'ratio_{key}': asdict(spread) for key, spread in ratios(result, found[baseline]).items()}
        for name, result in found.items()
        if baseline is not None and name != baseline
    }
    return {'figures': figures, 'baseline': baseline, 'ratios': compared}


def figures_table(result: Mapping[str, Any]) -> Table:
    """A table, median (min to max), from the output of :func:`to_plain`: one row per figure and workload."""
    figures, baseline = result['figures'], result['baseline']
    table = Table()
    table.add_column('')
    table.add_column('of')
    table.add_column('videos/s', justify='right')
    if baseline is not None:
        table.add_column(f'/ {baseline}', justify='right')
    for key, title in FIGURES.items():
        for name in figures:
            ratio = result['ratios'].get(name)
            compared = [] if baseline is None else ['' if ratio is None else spread_text(ratio[f'ratio_{key}'])]
            cells = [spread_text(figures[name][key]['videos_per_second']), *compared]
            table.add_row(title if name == next(iter(figures)) else '', name, *cells)
        table.add_section()
    for name, found in figures.items():
        waits, share = (
            spread_text(found['end_to_end']['waiting_share'], 100, ' %'),
            spread_text(found['efficiency'], 100, ' %'),
        )
        table.add_row('network waits', name, waits)
        table.add_row('end to end / network', name, share)
        if found['peak_memory_bytes'] is not None:
            table.add_row('peak memory', name, f'{found["peak_memory_bytes"] / 2**20:.0f} MiB')
    return table


def named_configs(arguments: Sequence[str]) -> dict[str, str]:
    """Configs by name, from ``NAME=CONFIG`` or ``CONFIG``, whose file name is the name.

    Raises:
        ValueError: Two have the same name.

    >>> named_configs(['device=a/uscl.py', 'b/uscl.py'])
    {'device': 'a/uscl.py', 'uscl': 'b/uscl.py'}
    """
    pairs = []
    for argument in arguments:
        name, separator, path = argument.partition('=')
        pairs.append((name, path) if separator else (Path(argument).stem, argument))
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in [*names, 'released'] if [*names, 'released'].count(name) > 1}):
        raise ValueError(f'two workloads are named {twice[0]!r}: rename one, as in --config NAME=CONFIG.')
    return dict(pairs)


def _plain_figure(result: Throughput, key: str) -> dict[str, Any]:
    videos = result.videos_per_second[key]
    return {
        'videos_per_second': asdict(Spread.of(videos)),
        'views_per_second': asdict(Spread.of([result.views * value for value in videos])),
        'seconds': asdict(Spread.of(result.seconds[key])),
        'batches': result.batches[key],
    }


def spread_text(spread: Mapping[str, float], scale: float = 1, unit: str = '') -> str:
    """Median (min to max), three significant digits."""
    median, low, high = (_number(scale * spread[key]) for key in ('median', 'min', 'max'))
    return f'{median}{unit} ({low} to {high})'


def _number(value: float) -> str:
    """Three significant digits, no exponent.

    >>> [_number(value) for value in (1234.5, 56.78, 0.4321, 0)]
    ['1234', '56.8', '0.432', '0']
    """
    digits = 0 if abs(value) >= 100 or value == 0 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f'{value:.{digits}f}'
