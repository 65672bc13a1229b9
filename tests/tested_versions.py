"""The table of tested versions: a suite that passed writes the row of the packages that it ran with.

``python -m pytest --record-versions=docs/tested_versions.md``, as ``nox`` does. There is one row for each
family of packages and each Python; a later one takes its place.
"""

import datetime
import platform
import re
from importlib.metadata import version
from pathlib import Path

from uscl.core.environment import ONEDL, OPENMMLAB, installed_versions

PACKAGES = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'lightly', 'numpy')
HEADER = ('Extra', 'Python', *PACKAGES, 'Passed', 'Skipped', 'Date')


def installed() -> tuple[str, dict[str, str]]:
    """The extra whose packages are there, and their versions by import name."""
    found = installed_versions()
    extra, family = ('onedl', ONEDL) if 'onedl-mmengine' in found else ('openmmlab', OPENMMLAB)
    names = {name: next(n for n in family.get(name, [name]) if n in found or name not in family) for name in PACKAGES}
    return extra, {name: version(names[name]) for name in PACKAGES}


def row(passed: int, skipped: int) -> tuple[str, ...]:
    """What the table says of a suite that passed here and now."""
    extra, versions = installed()
    today = datetime.date.today().isoformat()
    return (f'`[{extra}]`', platform.python_version(), *versions.values(), f'{passed:,}', f'{skipped:,}', today)


def read(page: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """The rows of a page, by extra and minor version of Python."""
    rows = [
        tuple(cell.strip() for cell in line.strip('|').split('|')) for line in re.findall(r'^\| `\[.*\|$', page, re.M)
    ]
    return {(cells[0], cells[1].rpartition('.')[0]): cells for cells in rows}


def replace(page: str, new: tuple[str, ...]) -> str:
    """The page with ``new`` in the place of the row of its extra and Python, in order."""
    rows = read(page) | {(new[0], new[1].rpartition('.')[0]): new}
    ordered = sorted(rows.items(), key=lambda item: (item[0][0], [int(part) for part in item[0][1].split('.')]))
    lines = [HEADER, ('---',) * len(HEADER), *(cells for _, cells in ordered)]
    table = '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in lines)
    return re.sub(r'^\| Extra .*\n(?:\|.*\n)*', lambda _: table + '\n', page, count=1, flags=re.M)


def record_suite(path: Path, stats: dict[str, list], has_passed: bool) -> str:
    """Write the row of a suite into a page, unless a test of it failed or was left out; returns a line that says so."""
    counts = [len(stats.get(key, ())) for key in ('passed', 'skipped', 'deselected')]
    if not has_passed or not counts[0] or counts[2]:
        return f'{path} stays as it is: not the whole suite, or not passed'
    new = row(*counts[:2])
    path.write_text(replace(path.read_text(encoding='utf-8'), new), encoding='utf-8')
    return f'{path}: ' + ' | '.join(new)


def pytest_addoption(parser):
    parser.addoption('--record-versions', metavar='FILE', type=Path, help='where the suite passes, write its row there')


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if path := config.getoption('record_versions'):
        is_whole = config.args_source is config.ArgsSource.TESTPATHS and not (
            config.option.keyword or config.option.markexpr
        )
        terminalreporter.write_line(record_suite(path, terminalreporter.stats, is_whole and not exitstatus))
