import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from uscl.data.folder_writer import write_data_folder
from uscl.data.video_folder import VideoFolder
from uscl.reports import evaluation_report
from uscl.reports.evaluation_errors import thumbnail, video_errors
from uscl.reports.evaluation_report import write_evaluation_report
from uscl.stats.evaluation_summary import summarise
from uscl.stats.predictions import Predictions

EVIL = '<script>alert("1")</script>'
CLASSES = ['covid', f'regular{EVIL}', 'third']


class Reader(HTMLParser):
    """Tags, text and addresses of pictures; every tag should be closed in order."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.pictures, self.roles, self._open = [], '', [], [], []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.pictures += [value for name, value in attrs if name == 'src']
        self.roles += [value for name, value in attrs if name == 'role' and value == 'alert']
        if tag not in ('meta', 'img'):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] != 'style':
            self.text += data + '\n'


def predictions(table, labels=(0, 1, 2, 0), groups=None):
    """One frame a video, named a, b, c, …"""
    names = np.array([chr(97 + k) for k in range(len(labels))])
    paths = np.array([f'{name}#000000' for name in names])
    groups = names if groups is None else np.array(groups)
    return Predictions(np.asarray(table, float), np.array(labels), names, groups, paths)


FIRST = [[0.2, 0.8, 0.0], [0.1, 0.6, 0.3], [0.9, 0.0, 0.1], [0.3, 0.2, 0.5]]
SECOND = [[0.4, 0.6, 0.0], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6], [0.3, 0.5, 0.2]]
RIGHT = np.eye(3)[[0, 1, 2, 0]]


class TestVideoErrors:
    def test_every_video_that_a_seed_gets_wrong_the_most_confident_first(self):
        backwards = predictions(SECOND)
        backwards = Predictions(**{name: values[::-1] for name, values in vars(backwards).items()})
        found = video_errors({0: predictions(FIRST), 1: backwards})
        assert [(e.video, e.true, e.predicted, e.num_wrong, e.num_seeds) for e in found] == [
            ('a', 0, 1, 2, 2),  # 0.8 and 0.6
            ('c', 2, 0, 1, 2),  # 0.9 wrong, 0.3 right
            ('d', 0, 1, 2, 2),  # two wrong classes, each by one seed: 0.35 either way, the first
        ]
        assert [e.probability for e in found] == pytest.approx([0.7, 0.6, 0.35])
        assert [e.true_probability for e in found] == pytest.approx([0.3, 0.35, 0.3])
        assert found[0].path == 'a#000000' and found[0].patient == 'a'

    def test_most_seeds_decide_between_wrong_classes_not_the_probability(self):
        tables = ([0.0, 1.0, 0.0], [0.1, 0.4, 0.5], [0.1, 0.4, 0.5])
        found = video_errors({k: predictions([table], labels=(0,)) for k, table in enumerate(tables)})
        assert (found[0].predicted, found[0].num_wrong) == (2, 3)

    def test_no_error(self):
        assert video_errors({0: predictions(RIGHT)}) == []


class TestThumbnail:
    @pytest.mark.parametrize('size', [(320, 640), (400, 100, 3), (60, 80, 3), (9, 9)])
    def test_fits_and_keeps_its_shape(self, tmp_path, size):
        folder = VideoFolder(write_data_folder(tmp_path, [{'video_id': 'v', 'frames': [np.full(size, 128, np.uint8)]}]))
        image = Image.open(io.BytesIO(thumbnail(folder, 'v#000000')))
        assert (image.format, image.mode) == ('JPEG', 'RGB')
        shrink = min(1, 160 / max(size[:2]))
        assert image.size == tuple(round(side * shrink) for side in size[1::-1])

    @pytest.mark.parametrize('name', ['w#000000', 'v#000001', 'v', ''])
    def test_what_is_not_there_has_none(self, tmp_path, name):
        folder = VideoFolder(write_data_folder(tmp_path, [{'video_id': 'v', 'frames': [np.zeros((4, 4), np.uint8)]}]))
        assert thumbnail(folder, name) is None


@pytest.fixture
def write(tmp_path):
    """Write the report of runs, some frames of which exist; return what a reader sees."""
    frame = np.full((48, 64), 90, np.uint8)
    write_data_folder(tmp_path, [{'video_id': name, 'frames': [frame]} for name in 'ab'])

    def write_runs(runs, facts=None, resamples=50):
        summary = summarise(runs, CLASSES, resamples=resamples)
        write_evaluation_report(tmp_path / 'out' / 'report.html', runs, CLASSES, summary, facts or {}, tmp_path)
        page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
        assert '<script' not in page and 'http' not in page
        return Reader(page)

    return write_runs


def two_methods():
    better = {0: predictions(RIGHT), 1: predictions(RIGHT)}
    return {
        f'random {EVIL}': {'best-on-test': better, 'inner-val': {0: predictions(FIRST), 1: predictions(SECOND)}},
        'uscl': {'best-on-test': better, 'inner-val': better},
    }


def test_what_a_reader_sees(write):
    facts = {
        'command': f'evaluate.py {EVIL}',
        'data': 'data/pocus',
        'protocol': 'last-block',
        'folds': 5,
        'seeds': [0, 1],
        'warnings': [f'careful {EVIL}'],
        'settings': {'lr': 0.01, 'epochs': 3},
        'versions': {'torch': '2.1'},
        'device': 'CPU',
        'seconds': 12.34,
        'commit': 'abc',
        'leak': False,
    }
    page = write(two_methods(), facts)
    for text in (
        f'evaluate.py {EVIL}',
        'last-block',
        '0, 1',
        f'Warning: careful {EVIL}',
        'lr 0.01, epochs 3',
        'torch 2.1',
        '12.34',
        'abc',
        '“best-on-test” is optimistic',
        f'random {EVIL}: ',
        '(+62.5 points)',
        'does not exceed',
        '(0.0 points)',
        f'covid → regular{EVIL}',
        'predicted 70 %, true 30 %',
        'wrong in 2 of 2 seeds',
        '3 videos are misclassified',
        '2.5 per seed',
        '0 videos are misclassified',
        'difference',
        'of the 4 patients',
    ):
        assert text in page.text, text
    assert 'inflated' not in page.text and 'Leak' not in page.text
    jpegs = [source for source in page.pictures if source.startswith('data:image/jpeg;base64,')]
    assert len(jpegs) == 1 and page.text.count('no picture') == 2  # a exists, c and d do not
    assert Image.open(io.BytesIO(base64.b64decode(jpegs[0].split(',')[1]))).size == (64, 48)
    figures = [source for source in page.pictures if source.startswith('data:image/png')]
    assert len(figures) == 5  # forest and confusion of two levels, ROC


@pytest.mark.usefixtures('undrawn')
def test_unknown_training_data_are_an_alert_and_suspicions_a_warning(write):
    facts = {'unknown': [f'{EVIL}.pth: training data unknown'], 'suspicions': [f'{EVIL} was perhaps seen']}
    page = write(two_methods(), facts)
    assert page.text.count('training data unknown') == page.text.count('was perhaps seen') == 1
    assert page.text.index('training data unknown') < page.text.index('Warning: ') < page.text.index('was perhaps seen')
    assert page.roles == ['alert'] and write(two_methods()).roles == []


@pytest.mark.usefixtures('undrawn')
@pytest.mark.parametrize('leak', [True, f'Split by frame {EVIL}.'])
def test_a_leak_has_a_banner_before_any_number(write, leak):
    page = write(two_methods(), {'leak': leak})
    banner = page.text.index('inflated by leakage')
    assert banner < page.text.index('balanced accuracy')
    assert leak is True or leak in page.text


def test_the_answer_comes_first(write):
    page = write(two_methods())
    answer = page.text.index(f'uscl is better than random {EVIL}: ')
    assert answer < page.text.index('balanced accuracy on videos') and page.text[:answer].count('%') == 0


def test_sensitivity_and_specificity_of_every_class(write):
    """Of two classes in three videos each: 2 of 3 covid right, 3 of 3 others."""
    table = np.eye(3)[[0, 0, 1, 1, 1, 2]]
    page = write({'m': {'last': {0: predictions(table, labels=(0, 0, 0, 1, 1, 2))}}}, resamples=300)
    row = page.text.split('Specificity\n', 1)[1].split('covid\n', 1)[1].split('m\n', 1)[1]
    sensitivity, specificity = [cell for cell in row.split('\n') if cell.strip()][:2]
    assert sensitivity.startswith('66.7\u00a0% (') and specificity.startswith('100.0\u00a0% (')


def test_one_seed_one_method_last_epoch(write):
    page = write({'uscl': {'last': {0: predictions(FIRST)}}})
    assert 'optimistic' not in page.text and 'Differences' not in page.text and 'SD\u00a0' not in page.text
    assert '3 videos are misclassified.' in page.text and 'chosen by last' in page.text


def test_one_patient_has_no_interval(write):
    page = write({'uscl': {'last': {0: predictions(FIRST, groups=['p'] * 4)}}})
    assert 'There is no interval' in page.text and '95 % interval –' not in page.text
    assert not re.search(r'\d\u00a0to\u00a0\d', page.text)


@pytest.mark.usefixtures('undrawn')
def test_the_lower_end_zero_is_shown(write):
    page = write({'uscl': {'last': {0: predictions(SECOND)}}}, resamples=400)
    assert '95 % interval 0.0 to' in page.text


@pytest.mark.usefixtures('undrawn')
def test_only_so_many_errors_are_shown(write, monkeypatch):
    monkeypatch.setattr(evaluation_report, 'MAX_ERRORS', 2)
    page = write({'uscl': {'last': {0: predictions(FIRST)}}})
    assert page.text.count('wrong in 1 of 1 seeds') == 2
    assert '1 more, ' in page.text
