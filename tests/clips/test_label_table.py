"""Labels from a reader's spreadsheet."""

from pathlib import Path

import pytest

from uscl.clips.label_table import label_by_table, read_label_table
from uscl.clips.source_findings import SourceFindings
from uscl.clips.video_source import VideoSource
from uscl.core.errors import SourceError

CLIPS = SourceFindings(
    [VideoSource(name, Path(name), 'old', 'p') for name in ('a/one.mp4', 'a/two.mp4', 'b/three.avi')]
)


def write(tmp_path, text):
    (tmp_path / 'readers.csv').write_text(text)
    return tmp_path / 'readers.csv'


def labels(tmp_path, text, column='B-lines', names=None, found=CLIPS, classes=None):
    table = write(tmp_path, text)
    return label_by_table(found, read_label_table(table, column, names), table, classes)


def test_names_without_suffix_stray_spaces_and_other_columns(tmp_path):
    """As in the table of COVID-BLUES."""
    made = labels(tmp_path, 'video_file,Severity Score,B-lines\none,2.0,yes \ntwo ,0.0, no\nthree,3.0,\n')
    assert [source.label for source in made.sources] == ['yes', 'no', None]
    assert [source.patient_id for source in made.sources] == ['p'] * 3 and not made.warnings
    made = labels(tmp_path, 'video_file,Severity  score\none,2.0\ntwo,0.0\nthree,3.0\n', column='severity SCORE')
    assert [source.label for source in made.sources] == ['2.0', '0.0', '3.0']


@pytest.mark.parametrize('name', ['a/two.mp4', 'a\\two.mp4', 'two.mp4', 'two'])
def test_paths_file_names_and_stems(tmp_path, name):
    made = labels(tmp_path, f'x,clip,B-lines\n1,{name},yes\n', names='Clip')
    assert [source.label for source in made.sources] == [None, 'yes', None]
    assert 'readers.csv' in made.warnings[0] and 'a/one.mp4' in made.warnings[0]


def test_rows_without_a_clip_are_told(tmp_path):
    made = labels(tmp_path, 'clip,B-lines\none,yes\ntwo,no\nthree,no\nfour,yes\n')
    assert len(made.warnings) == 1 and "'four'" in made.warnings[0]


@pytest.mark.parametrize(
    ('text', 'named'),
    [
        ('clip,other\none,yes\n', "'B-lines'"),
        ('clip,B-lines,b-lines\none,yes,no\n', "2 columns 'B-lines'"),
        ('clip,B-lines\none,yes\none,no\n', 'row 3'),
        ('clip,B-lines\none,yes\na/one.mp4,no\n', 'a/one.mp4'),
        ('clip,B-lines\n,yes\n', 'row 2'),
        ('clip,B-lines\nseven,yes\n', 'none of the clips'),
        ('clip,B-lines\none,y\x1bes\n', 'control characters'),
        ('', "'B-lines'"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, named):
    with pytest.raises(SourceError, match=r'readers\.csv') as error:
        labels(tmp_path, text)
    assert named in str(error.value)


def test_a_name_that_fits_two_clips_is_refused(tmp_path):
    twins = SourceFindings([VideoSource(name, Path(name)) for name in ('a/one.mp4', 'b/one.mp4')])
    with pytest.raises(SourceError, match=r'a/one\.mp4 and b/one\.mp4'):
        labels(tmp_path, 'clip,B-lines\none,yes\n', found=twins)
    made = labels(tmp_path, 'clip,B-lines\nb/one.mp4,yes\na/one.mp4,no\n', found=twins)
    assert [source.label for source in made.sources] == ['no', 'yes']


def test_labels_that_are_no_class_are_refused(tmp_path):
    with pytest.raises(SourceError, match="'maybe'"):
        labels(tmp_path, 'clip,B-lines\none,maybe\n', classes=['yes', 'no'])


def test_a_table_that_does_not_exist(tmp_path):
    with pytest.raises(SourceError, match=r'missing\.csv'):
        read_label_table(tmp_path / 'missing.csv', 'B-lines')
