"""Escape names that come from data for the place where they are shown. Report templates escape HTML themselves."""

import html
import re

_CONTROL = re.compile(r'[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]')
_MARKS = re.compile(r'[\\`*~$\[\]|]')
_UNPRINTABLE = re.compile('[\x00-\x1f\x7f-\x9f\ud800-\udfff]')  # surrogates stand for bytes that are not UTF-8
UNPRINTABLE = 'is not valid UTF-8 or holds control characters: rename it'


def for_terminal(text: str) -> str:
    r"""Show control and bidirectional-text characters as escapes instead of sending them to the terminal.

    >>> print(for_terminal('a\x1b[2Jb.mp4'))
    a\x1b[2Jb.mp4
    """
    return _CONTROL.sub(lambda found: found[0].encode('unicode_escape').decode(), text)


def for_markdown(text: str) -> str:
    r"""Like :func:`for_terminal`, but on one line and with Markdown and HTML escaped.

    >>> print(for_markdown('<b>|`x`'))
    &lt;b&gt;\|\`x\`
    """
    text = ' '.join(for_terminal(text).splitlines())
    text = _MARKS.sub(lambda found: f'\\{found[0]}', text)
    return html.escape(text, quote=False)


def code(text: str) -> str:
    r"""Like :func:`for_markdown`, but as code in a line.

    >>> print(code('a | b'), code('`<b>'))
    `a | b` `` `<b> ``
    """
    text = ' '.join(for_terminal(text).splitlines())
    ticks = '`' * (1 + max(map(len, re.findall('`+', text)), default=0))
    return f'{ticks} {text} {ticks}' if '`' in text else f'{ticks}{text}{ticks}'


def is_printable(text: str) -> bool:
    """Whether a text holds no control characters, which a terminal obeys and no name needs, and is valid UTF-8."""
    return _UNPRINTABLE.search(text) is None


def for_spreadsheet(text: str) -> str:
    r"""Keep a spreadsheet from taking a text for a formula: an apostrophe goes before what could begin one.

    >>> for_spreadsheet('=HYPERLINK("x")'), for_spreadsheet('a=b.mp4')
    ('\'=HYPERLINK("x")', 'a=b.mp4')
    """
    return f"'{text}" if text.lstrip().startswith(('=', '+', '-', '@')) or text.startswith(('\t', '\r', '\n')) else text
