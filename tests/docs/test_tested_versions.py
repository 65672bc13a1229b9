"""docs/tested_versions.md: what it says was tested is what the constraints install; only a whole suite writes it."""

import os
import subprocess
import sys

import pytest
from docs_pages import DOCS, ROOT
from tested_versions import PACKAGES, installed, read, record_suite, replace, row

from uscl.core.environment import ONEDL, OPENMMLAB

PAGE = DOCS / 'tested_versions.md'


def pins(extra):
    lines = (ROOT / 'requirements' / f'constraints-{extra}.txt').read_text(encoding='utf-8').splitlines()
    return [tuple(line.split(' ;')[0].split('==')) for line in lines if '==' in line]


def test_the_page_names_the_versions_that_the_constraints_install():
    rows = read(PAGE.read_text(encoding='utf-8'))
    assert {extra for extra, _ in rows} == {'`[onedl]`', '`[openmmlab]`'}
    for (extra, _), cells in rows.items():
        pinned = pins(extra.strip('`[]'))
        family = ONEDL if 'onedl' in extra else OPENMMLAB
        for name, found in zip(PACKAGES, cells[2:], strict=False):
            assert any((dist, found) in pinned for dist in family.get(name, [name])), f'{extra} {name} {found}'


def test_a_row_takes_the_place_of_that_of_the_same_extra_and_python():
    page = 'Before.\n\n| Extra | Python |\n\nAfter.\n'
    for extra, python in (('onedl', '3.12.1'), ('openmmlab', '3.9.2'), ('onedl', '3.9.1'), ('onedl', '3.12.7')):
        page = replace(page, (f'`[{extra}]`', python, *row(1, 2)[2:]))
    found = [cells[:2] for cells in read(page).values()]
    assert found == [('`[onedl]`', '3.9.1'), ('`[onedl]`', '3.12.7'), ('`[openmmlab]`', '3.9.2')]
    assert page.startswith('Before.\n\n| Extra |') and page.endswith('|\n\nAfter.\n')


def test_the_row_is_of_the_packages_that_are_imported():
    _, versions = installed()
    for name, found in versions.items():
        assert found.split('+')[0] == __import__(name).__version__.split('+')[0]


@pytest.mark.parametrize(
    'has_passed, stats, written',
    [
        (True, {'passed': [1, 2], 'skipped': [3]}, [('2', '1')]),
        (False, {'passed': [1, 2], 'skipped': [3]}, []),
        (True, {'passed': [1, 2], 'deselected': [3]}, []),
        (True, {'skipped': [1]}, []),
    ],
)
def test_only_a_whole_suite_that_passed_is_recorded(tmp_path, has_passed, stats, written):
    page = tmp_path / 'page.md'
    page.write_text('| Extra | Python |\n', encoding='utf-8')
    for _ in range(2):  # a second time changes nothing
        said = record_suite(page, stats, has_passed)
        rows = list(read(page.read_text(encoding='utf-8')).values())
        assert [cells[-3:-1] for cells in rows] == written
        assert ('stays as it is' in said) != bool(written)


@pytest.mark.parametrize('part', [[], ['test_one.py'], ['-m', 'not slow']], ids=str)
def test_a_part_of_the_suite_is_not_recorded(tmp_path, part):
    """By this suite's hooks, in a suite of one test, which imports no host."""
    page = tmp_path / 'page.md'
    page.write_text('| Extra | Python |\n', encoding='utf-8')
    (tmp_path / 'pytest.ini').write_text('[pytest]\ntestpaths = .\nmarkers = slow\n', encoding='utf-8')
    (tmp_path / 'conftest.py').write_text('from tested_versions import *', encoding='utf-8')
    (tmp_path / 'test_one.py').write_text('def test_one():\n    pass\n', encoding='utf-8')
    command = [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', *part, f'--record-versions={page}']
    environment = os.environ | {'PYTHONPATH': f'{ROOT / "tests"}{os.pathsep}{ROOT}'}
    environment['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment)
    assert '1 passed' in done.stdout and (f'{page} stays as it is' in done.stdout) == bool(part)
    assert len(read(page.read_text(encoding='utf-8'))) == (not part)
