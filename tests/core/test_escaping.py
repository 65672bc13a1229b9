"""Names of files and labels may hold anything: what a terminal or Markdown would obey is shown instead."""

import sys

import pytest
from rich.console import Console
from rich.markdown import Markdown

from uscl.core.command_line import as_command
from uscl.core.escaping import for_markdown, for_terminal
from uscl.core.tables import markdown

EVIL = '\x1b[2J\x9b31m\x07<img src=x onerror=alert(1)>|`a`[b](http://c)\u202e*d*\r'


def test_nothing_that_a_terminal_obeys_is_left():
    shown = for_terminal(EVIL)
    assert not [char for char in shown if ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or char == '\u202e']
    assert shown.startswith('\\x1b[2J\\x9b31m\\x07<img') and for_terminal('ä ξ → 漢\n\t') == 'ä ξ → 漢\n\t'


def test_a_cell_of_markdown_is_text():
    lines = markdown(['name', 'n'], [[EVIL, '1'], ['b\nc', '2']]).splitlines()
    assert len(lines) == 4 and '<img' not in lines[2] and lines[3] == '| b c | 2 |'
    console = Console(file=sys.stderr, record=True, width=300)
    console.print(Markdown('\n'.join(lines)))
    text = console.export_text()
    assert '|`a`[b](http://c)' in text and '*d*' in text and '<img src=x' in text


@pytest.mark.parametrize('text', ['covid_a_1.mp4', 'a/b (1).dcm', 'Bénin – 2 %'])
def test_usual_names_stay(text):
    assert for_terminal(text) == for_markdown(text) == text


def test_errors_are_escaped(capsys):
    @as_command()
    def fail():
        raise ValueError(f'{EVIL} is no clip')

    assert fail() == 1
    assert '\x1b' not in (error := capsys.readouterr().err) and '\\x1b[2J' in error
