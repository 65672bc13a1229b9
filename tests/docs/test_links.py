"""Links lead somewhere, named files exist, and the site can be built."""

import re
import subprocess
import sys

import pytest
from docs_pages import DOCS, PAGES, ROOT, anchors, links, name_of, named_paths


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for link in links(page):
        target, _, anchor = link.partition('#')
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f'{name_of(page)}: {link}'
        if DOCS in page.parents:
            assert path.is_relative_to(DOCS), f'{name_of(page)}: {link} leaves the site: name the file, without a link'
        if anchor:
            assert anchor in anchors(path), f'{name_of(page)}: {link} has no such heading'


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_files_that_are_named_exist(page):
    missing = [path for path in named_paths(page) if not (ROOT / path).exists()]
    assert not missing, f'{name_of(page)} names {missing}'


def test_pages_that_the_code_names_exist():
    """In help texts, messages and docstrings."""
    files = [path for room in ('uscl', 'uscl_plugin', 'tools', 'configs') for path in (ROOT / room).rglob('*.py')]
    named = {page for path in files for page in re.findall(r'docs/[\w/]+\.md', path.read_text(encoding='utf-8'))}
    assert named and [page for page in sorted(named) if not (ROOT / page).is_file()] == []


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / 'mkdocs.yml').read_text(encoding='utf-8')
    for page in DOCS.rglob('*.md'):
        assert f': {page.relative_to(DOCS).as_posix()}\n' in navigation, f'{name_of(page)} is not in mkdocs.yml'


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip('material')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '-q', '-d', str(tmp_path / 'site')]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / 'site' / 'method' / 'index.html').read_text(encoding='utf-8')
    assert text.count('class="arithmatex"') >= 10 and '$$' not in text  # equations are handed to MathJax
    assert '<table>' in (tmp_path / 'site' / 'configs' / 'index.html').read_text(encoding='utf-8')
