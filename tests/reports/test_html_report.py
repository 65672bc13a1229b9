import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from uscl.reports.figures import new_figure
from uscl.reports.html_report import HtmlReport

EVIL = '<script>alert("1")</script> & \'x\''
VOID = {'meta', 'img', 'br', 'link'}


class Reader(HTMLParser):
    """Collects tags, attributes and text; insists that every tag is closed in order."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text, self._open = [], [], [], []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] != 'style':
            self.text.append(data)


def full_report():
    report = HtmlReport(EVIL, EVIL)
    report.cards([(EVIL, '1', EVIL, EVIL), ('name', '', '2', 'note')])
    report.heading(EVIL)
    report.paragraph(EVIL)
    report.code(EVIL)
    report.heading('second')
    report.table([EVIL, 'b'], [[EVIL, '1'], ['c', '2']])
    report.table([], [['key', 'value']])
    figure = new_figure(2, 1)
    figure.add_subplot().imshow(np.eye(3))
    report.figure(figure, EVIL, f'alt " {EVIL}')
    return report


def test_tags_are_balanced_and_text_is_escaped_everywhere():
    page = full_report().render()
    reader = Reader(page)
    assert 'script' not in reader.tags
    assert '<script' not in page
    assert ''.join(reader.text).count(EVIL) == 12
    assert ('img', 'alt', f'alt " {EVIL}') in reader.attributes


def test_nothing_is_loaded_from_elsewhere():
    page = full_report().render()
    reader = Reader(page)
    sources = [value for _, name, value in reader.attributes if name in ('src', 'href', 'srcset', 'action', 'data')]
    assert len(sources) == 1 and sources[0].startswith('data:image/png;base64,')
    assert 'url(' not in page and '@import' not in page and 'http' not in page
    assert 'link' not in reader.tags


def test_the_image_is_the_figure():
    reader = Reader(full_report().render())
    source = next(value for tag, name, value in reader.attributes if (tag, name) == ('img', 'src'))
    image = Image.open(io.BytesIO(base64.b64decode(source.split(',')[1])))
    assert image.size == (260, 130)
    assert np.asarray(image.convert('L')).std() > 0


def test_structure():
    reader = Reader(full_report().render())
    assert [reader.tags.count(tag) for tag in ('h1', 'h2', 'section', 'table', 'tr', 'th', 'td', 'figure')] == [
        *(1, 2, 2, 2, 4, 2, 6, 1)
    ]
    assert ('meta', 'name', 'viewport') in reader.attributes  # readable on a phone


def test_an_empty_report_is_a_page():
    assert Reader(HtmlReport('Title').render()).text.count('Title') == 2


def test_a_row_that_does_not_fit_its_header():
    with pytest.raises(ValueError, match='2 cells'):
        HtmlReport('t').table(['a', 'b'], [['1']])


def test_writing_makes_the_folder_and_replaces_whole_files(tmp_path):
    target = tmp_path / 'new' / 'report.html'
    HtmlReport('first').write(target)
    HtmlReport('zweitens: ξ').write(target)
    assert 'zweitens: ξ' in target.read_text(encoding='utf-8')
    assert [path.name for path in target.parent.iterdir()] == ['report.html']
