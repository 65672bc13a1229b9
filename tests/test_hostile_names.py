"""Names of clips, classes, patients and methods are shown as they are, whatever they look like to a medium."""

import csv
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from lesion_folders import save, scan
from markdown_it import MarkdownIt
from tool_module import load_tool

from uscl.clips.discovery import find_sources
from uscl.core.errors import SourceError
from uscl.core.escaping import code
from uscl.core.tables import write_csv
from uscl.data.annotations import read_annotations
from uscl.data.coco_file import read_coco
from uscl.data.folder_writer import write_data_folder
from uscl.reports.comparison_figure import comparison_figure
from uscl.reports.detection_runs import DetectionRun, summarise_runs
from uscl.reports.detection_table import detection_table
from uscl.reports.figures import save_picture
from uscl.stats.evaluation_summary import summarise
from uscl.stats.predictions import Predictions
from uscl_plugin.comparison.comparison import Row
from uscl_plugin.comparison.table import comparison_table

ODD = r'=1+1<img src=x onerror=alert(1)><script>alert(1)</script>|`a`[b](javascript:1)$\foo{$*d*~~e~~'
HOSTILE = ODD.replace('/', '∕').replace('\\', '')  # as a file's name in an index
CONTROL = ['\x1b[2Ja', 'a\x9b31m', 'a\rb', 'a\nb', 'a\x07', 'a\x7f', 'a\x00']


class Page(HTMLParser):
    """The elements of a page."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.handlers, self.sources = 0, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == 'script'
        self.handlers += [name for name, _ in attrs if name.startswith('on')]
        self.sources += [value for name, value in attrs if name in ('src', 'href') and value is not None]


def check_page(path, scripts=0):
    page = Page(path.read_text())
    assert (page.scripts, set(page.handlers) - {'onsubmit'}) == (scripts, set())  # of the page's own form
    assert all(source.startswith(('data:', '#')) for source in page.sources)


def check_markdown(text):
    """No HTML, no link, no emphasis, and as many cells in each row as there are columns."""
    tokens = MarkdownIt('commonmark').enable(['table', 'strikethrough']).parse(text)
    flat = [inner for token in tokens for inner in (token, *(token.children or ()))]
    found = {token.type for token in flat}
    assert not found & {'html_block', 'html_inline', 'link_open', 'em_open', 's_open', 'image'}, found
    widths, width = [], 0
    for token in tokens:
        width += token.type in ('td_open', 'th_open')
        if token.type == 'tr_close':
            widths.append(width)
            width = 0
        if token.type == 'table_close':
            assert len(set(widths)) == 1
            widths = []
    return flat


def check_terminal(text):
    assert not [char for char in text if (ord(char) < 32 and char != '\n') or 0x7F <= ord(char) < 0xA0], repr(text)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Twelve clips of two hostile classes and of patients and clips with hostile names, converted."""
    root = tmp_path_factory.mktemp('names')
    rows = []
    for number in range(12):
        name = f'{number}{HOSTILE}'
        for frame in range(2):
            save(root / 'src' / name / f'{frame}.png', scan(number * 2 + frame) // (1 + number % 2))
        rows.append([name, f'{"ab"[number % 2]}{ODD}', f'{number // 2}{ODD}'])
    with (root / 'src' / 'index.csv').open('w', newline='') as file:
        csv.writer(file).writerows([['path', 'label', 'patient_id'], *rows])
    return root


def test_from_conversion_to_prediction(data, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    convert, evaluate, check, predict = map(
        load_tool,
        ('tools/dataset_converters/videos_to_clusters.py', 'tools/evaluate.py', 'tools/analysis/check_dataset.py',
         'tools/predict.py'),
    )  # fmt: skip
    assert convert.main([str(data / 'src'), '--out', 'data', '--size', '32', '--workers', '1']) == 0
    entries = read_annotations('data/annotations.json')['data_list']
    assert {entry['label'][1:] for entry in entries} == {entry['patient_id'][1:] for entry in entries} == {ODD}
    check_page(tmp_path / 'data' / 'overview.html', scripts=1)
    check.main(['data', '--html', 'check.html', '--json', 'check.json'])
    check_page(tmp_path / 'check.html')
    options = ['--data', 'data', '--out', 'out', '--size', '32', '--folds', '2', '--resamples', '20']
    assert evaluate.main(['random', *options, '--val-fraction', '0.4']) == 0
    check_page(tmp_path / 'out' / 'report.html')
    tokens = check_markdown((tmp_path / 'out' / 'table.md').read_text())
    assert any(f'a{ODD}' == token.content for token in tokens if token.type == 'inline' or token.type == 'text') or any(
        ODD in ''.join(child.content for child in token.children or ()) for token in tokens
    )
    clips = [str(data / 'src' / entries[0]['video_id']), str(tmp_path / 'none\x1b[2J.mp4')]
    model = next(iter((tmp_path / 'out').rglob('model.pth')))
    assert predict.main([str(model), *clips, '--csv', 'table.csv']) == 0
    assert predict.main([str(model), *clips, '--json']) == 0
    shown = capfd.readouterr()
    check_terminal(shown.out)
    check_terminal(re.sub(r'\r|\x1b\[[0-9;?]*[a-zA-Z]', '', shown.err) if '\x1b' in shown.err else shown.err)
    assert 'none\\x1b[2J.mp4' in shown.err
    with (tmp_path / 'table.csv').open(newline='') as file:
        assert not [cell for row in csv.reader(file) for cell in row if cell[:1] in ('=', '+', '@')]


@pytest.mark.parametrize('text', CONTROL)
def test_control_characters_are_refused_at_the_door(tmp_path, text):
    with pytest.raises(ValueError, match=r'annotations\.json'):
        write_data_folder(tmp_path / 'a', [{'video_id': text, 'frames': [scan()]}])
    with pytest.raises(ValueError, match=r'annotations\.json'):
        write_data_folder(tmp_path / 'b', [{'video_id': 'v', 'label': text, 'frames': [scan()]}])
    content = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': text}]}
    (tmp_path / 'val.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'val\.json cannot be used:\n- category without'):
        read_coco(tmp_path / 'val.json')
    if '\0' in text:
        return
    save(tmp_path / 'src' / 'fine' / 'clip' / '0.png', scan())
    assert [source.problem for source in find_sources(tmp_path / 'src').sources] == [None]
    save(tmp_path / 'src' / text / 'clip' / '0.png', scan())
    problems = {source.label: source.problem for source in find_sources(tmp_path / 'src').sources}
    assert problems['fine'] is None and 'control characters' in problems[None]
    if text.strip() == text and '\n' not in text and '\r' not in text:
        (tmp_path / 'src' / 'index.csv').write_text(f'path,label,patient_id\nfine/clip,{text},p\n')
        with pytest.raises(SourceError, match=r'index\.csv row 2: label'):
            find_sources(tmp_path / 'src')


def test_tables_and_figures_of_methods(tmp_path):
    rng, labels = np.random.default_rng(0), np.arange(20) % 2
    names = np.array([f'v{k}' for k in range(20)])
    runs = {}
    for number in range(3):
        scores = rng.random((20, 2)) + 0.1
        groups = np.array([f'p{k // 4}' for k in range(20)])
        run = Predictions(scores / scores.sum(1, keepdims=True), labels, names, groups, names)
        runs[f'{number}{ODD}'] = {'inner-val': {0: run}}
    summary = summarise(runs, [f'a{ODD}', f'b{ODD}'], 20)
    rows = [Row(name, 0, metrics={'accuracy': 0.5}) for name in runs] + [Row(ODD, 1, status=f'failed: {ODD}')]
    check_markdown(comparison_table(rows, summary, f'0{ODD}', f'On {ODD}.'))
    save_picture(comparison_figure(summary, highlight=f'0{ODD}'), tmp_path / 'table.png')
    check_markdown(detection_table(summarise_runs({ODD: [DetectionRun('w', {}, {'box AP50': {1: 0.5}}, 9)]})))


@pytest.mark.parametrize('text', ['a', 'a`b', '``', '<script>`', ODD, '`', 'a\nb\x1b'])
def test_code_stays_code(text):
    (token,) = [each for each in check_markdown(code(text)) if each.type == 'code_inline']
    assert token.content.replace(' ', '') == text.replace('\n', '').replace('\x1b', '\\x1b').replace(' ', '')


@pytest.mark.parametrize('start', ['=', '+', '-', '@', '\t=', ' =', '\r='])
def test_no_cell_is_a_formula(tmp_path, start):
    write_csv(tmp_path / 'a.csv', ('path', f'{start}1'), [(f'{start}cmd', -1.5)])
    with (tmp_path / 'a.csv').open(newline='') as file:
        header, row = csv.reader(file)
    assert not {header[1][0], row[0][0]} & set('=+-@\t\r ') and row[1] == '-1.5'
