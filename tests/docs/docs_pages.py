"""Reads the documentation: its code blocks, commands, links and headings."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs'
PAGES = [ROOT / 'README.md', *sorted(DOCS.rglob('*.md'))]
_FENCE = re.compile(r'(?:^<!-- not run: (?P<reason>.+?) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$', re.M | re.S)
_LINK = re.compile(r'!?\[[^\]]*\]\(([^)\s]+)\)')


@dataclass(frozen=True)
class Block:
    """A fenced block; ``reason`` says why it is not run, if it is not."""

    language: str
    code: str
    line: int
    reason: str | None


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, language=None):
    text = page.read_text(encoding='utf-8')
    found = [
        Block(match['language'], match['code'], text[: match.start('code')].count('\n') + 1, match['reason'])
        for match in _FENCE.finditer(text)
    ]
    return [block for block in found if language in (None, block.language)]


def prose(page):
    """The text without its blocks, whose lines stay empty."""
    return _FENCE.sub(lambda match: '\n' * match[0].count('\n'), page.read_text(encoding='utf-8'))


def commands(page):
    """Each command of the bash blocks as a list of words, without comments; ``&&`` divides."""
    for block in blocks(page, 'bash'):
        if block.reason:
            continue
        for line in block.code.replace('\\\n', ' ').splitlines():
            words = shlex.split(line, comments=True)
            while '&&' in words:
                cut = words.index('&&')
                yield words[:cut]
                words = words[cut + 1 :]
            if words:
                yield words


def links(page):
    text = re.sub(r'`[^`\n]*`', '', prose(page))
    return [target for target in _LINK.findall(text) if '://' not in target and not target.startswith('mailto:')]


def anchors(page):
    """Of the headings, as MkDocs and GitHub make them."""
    headings = re.findall(r'^#+ +(.+?)\s*$', prose(page), re.M)
    plain = [re.sub(r'[^\w\s-]', '', heading.replace('`', '')).strip().lower() for heading in headings]
    return {re.sub(r'[-\s]+', '-', heading) for heading in plain}


def named_paths(page):
    """Files of the repository that the page names, in prose or in commands."""
    text = page.read_text(encoding='utf-8')
    pattern = (
        r'(?<![\w/.…-])(?:configs|tools|tests|uscl_plugin|requirements|demo)/[\w./-]*\w\.(?:py|md|yml|txt|json|csv)\b'
    )
    return sorted(set(re.findall(pattern, text)))
