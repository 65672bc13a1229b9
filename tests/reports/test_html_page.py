import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from jinja2 import ChoiceLoader, DictLoader, UndefinedError
from PIL import Image

from uscl.reports import html_page
from uscl.reports.figures import new_figure
from uscl.reports.html_page import render, write_page

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


TEMPLATE = """
{% extends 'page.html' %}
{% from 'parts.html' import cards, code, figure, gallery, section, table, warning, wide_gallery %}
{% block content %}
{{ cards([(evil, '1', evil, evil), ('name', '', '2', 'note')]) }}
{{ warning(evil) }}
{% call section(evil) %}
<p>A paragraph
goes on: {{ evil }}</p>
{{ code(evil) }}
{% endcall %}
{% call section('second') %}
{{ table([evil, 'b'], [[evil, '1'], ['c', '2']]) }}
{{ table([], [['key', 'value']]) }}
{% call figure(drawing, 'alt " ' ~ evil) %}{{ evil }}{% endcall %}
{{ gallery([(jpeg, [evil, evil]), (none, [evil])]) }}
{{ wide_gallery([(jpeg, evil), (none, evil)]) }}
{% endcall %}
{% endblock %}
"""


def full_page(monkeypatch):
    loader = ChoiceLoader([DictLoader({'test.html': TEMPLATE}), html_page._environment().loader])
    monkeypatch.setattr(html_page._environment(), 'loader', loader)
    figure = new_figure(2, 1)
    figure.add_subplot().imshow(np.eye(3))
    return render('test.html', title=EVIL, subtitle=EVIL, evil=EVIL, drawing=figure, jpeg=b'\xff\xd8')


def test_tags_are_balanced_and_text_is_escaped_everywhere(monkeypatch):
    page = full_page(monkeypatch)
    reader = Reader(page)
    assert 'script' not in reader.tags
    assert '<script' not in page
    assert ''.join(reader.text).count(EVIL) == 18 and f'goes on: {EVIL}' in ''.join(reader.text)
    assert 'A paragraph goes on' in page  # a sentence is on one line
    assert ('img', 'alt', f'alt " {EVIL}') in reader.attributes


def test_nothing_is_loaded_from_elsewhere(monkeypatch):
    page = full_page(monkeypatch)
    reader = Reader(page)
    sources = [value for _, name, value in reader.attributes if name in ('src', 'href', 'srcset', 'action', 'data')]
    assert len(sources) == 3 and all(source.startswith('data:image/') for source in sources)
    assert 'url(' not in page and '@import' not in page and 'http' not in page
    assert 'link' not in reader.tags


def test_the_image_is_the_figure(monkeypatch):
    reader = Reader(full_page(monkeypatch))
    source = next(value for tag, name, value in reader.attributes if (tag, name) == ('img', 'src'))
    image = Image.open(io.BytesIO(base64.b64decode(source.split(',')[1])))
    assert image.size == (260, 130)
    assert np.asarray(image.convert('L')).std() > 0


def test_structure(monkeypatch):
    reader = Reader(full_page(monkeypatch))
    assert [reader.tags.count(tag) for tag in ('h1', 'h2', 'section', 'table', 'tr', 'th', 'td', 'figure')] == [
        *(1, 2, 2, 2, 4, 2, 6, 3)
    ]
    assert ('meta', 'name', 'viewport') in reader.attributes  # readable on a phone


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError, match='facts'):
        render('seen_in_training.html')


def test_writing_makes_the_folder_and_replaces_whole_files(tmp_path):
    target = tmp_path / 'new' / 'report.html'
    write_page(target, 'page.html', title='first', subtitle='')
    write_page(target, 'page.html', title='zweitens: ξ', subtitle='')
    assert 'zweitens: ξ' in target.read_text(encoding='utf-8')
    assert [path.name for path in target.parent.iterdir()] == ['report.html']
